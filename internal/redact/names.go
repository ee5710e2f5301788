package redact

import "strings"

// name is a pattern: lower case, without '-', '_' and '.'.
type name struct {
	text string
	when when
}

// when narrows where a pattern counts.
type when uint

const (
	// wordEnds: no lower-case letter follows: "token" is meant, "tokenizer" is not.
	wordEnds when = 1 << iota
	// wordStarts: "pat" is meant, "compat" is not.
	wordStarts
	// nameEnds: nothing but digits follows: "auth" is meant, "auth-url" is not.
	nameEnds
	// variable: the name is in capitals and goes on before: "STRIPE_KEY" is
	// meant, "--sort-key" is not.
	variable
	// noNumber: the value is no number: "--tokens 4096" are those of a model.
	noNumber
	// random: the value looks like one that a machine made.
	random
	// digits: the value is a number of four digits or more.
	digits
	// noMethod: the value is no way of authentication: "--auth ldap".
	noMethod
)

// builtin are the names that are always hidden, wherever they occur in a name.
func builtin() []name {
	return []name{
		{"password", 0}, {"passwd", 0}, {"passwort", 0}, {"passphrase", 0}, {"passcode", 0}, {"passkey", 0},
		{"secret", 0}, {"apikey", 0}, {"accesskey", 0}, {"accountkey", 0},
		{"privatekey", 0}, {"encryptionkey", 0}, {"signingkey", 0}, {"sharedkey", 0}, {"sessionkey", 0}, {"storagekey", 0},
		{"masterkey", 0}, {"authkey", 0}, {"licensekey", 0}, {"subscriptionkey", 0}, {"certificatekey", 0}, {"setupkey", 0},
		{"gossipkey", 0}, {"unsealkey", 0}, {"csrfkey", 0}, {"createsuperuser", nameEnds}, {"cipherkey", 0}, {"enckey", 0}, {"hmackey", 0},
		{"credential", 0}, {"creds", 0}, {authorization, 0}, {cookie, 0}, {"masterauth", 0}, {"requirepass", 0}, {"rpcauth", 0},
		{"mnemonic", 0}, {"seedphrase", 0}, {"keyhex", 0}, {"cred", wordStarts | nameEnds},
		{"storepass", 0}, {"keypass", 0}, {"keypasswd", 0}, {"userpw", 0}, {"ownerpw", 0}, {"authtoken", 0},
		{"token", wordEnds}, {"jwt", wordEnds}, {"pwd", wordEnds}, {"passin", wordEnds}, {"passout", wordEnds}, {"psk", wordEnds | wordStarts},
		{"pass", wordEnds | nameEnds}, {"tokens", nameEnds | noNumber}, {"bearer", nameEnds}, {"pw", nameEnds}, {"otp", wordStarts | nameEnds},
		{"totp", wordStarts | nameEnds},
		{"auth", wordStarts | nameEnds | noMethod}, {"pat", wordStarts | nameEnds}, {"key", wordStarts | nameEnds | variable},
		{"key", wordStarts | nameEnds | random}, {"signature", nameEnds | random}, {"sig", wordStarts | nameEnds | random}, {"hmac", nameEnds | random},
		{"login", nameEnds | random}, {"session", wordStarts | nameEnds | random}, {"sonarlogin", nameEnds}, {"macaroon", 0}, {"appkey", 0}, {"applicationkey", 0}, {"proxyauth", 0},
		{"jsessionid", 0}, {"phpsessid", 0}, {"nthash", 0}, {"pin", wordStarts | nameEnds | digits},
		{"salt", wordStarts | nameEnds | random}, {"pepper", wordStarts | nameEnds | random}, {"seed", wordStarts | nameEnds | random},
		{"private", wordStarts | nameEnds | random}, {"code", wordStarts | nameEnds | random},
		// "password" in other languages
		{"kennwort", 0}, {"contraseña", 0}, {"contrasena", 0}, {"motdepasse", 0}, {"wachtwoord", 0}, {"senha", wordStarts | wordEnds},
		{"hasło", wordStarts}, {"haslo", wordStarts | wordEnds}, {"heslo", wordStarts | wordEnds}, {"parola", wordStarts | wordEnds},
		{"lösenord", 0}, {"losenord", 0}, {"salasana", 0}, {"şifre", 0}, {"sifre", wordStarts | wordEnds}, {"пароль", 0}, {"Пароль", 0},
		{"密码", 0}, {"密碼", 0}, {"パスワード", 0}, {"비밀번호", 0},
	}
}

// harmless are words that hold one of builtin by chance, or name something that
// is no secret.
func harmless() []string {
	return strings.Fields(`
		bypass compass getpass surpass trespass passthrough passthru secretary secretariat cookiecutter cookiejar
		tokenbucket maxtokens mintokens numtokens newtokens padtoken eostoken bostoken unktoken septoken masktoken clstoken
		stoptoken starttoken specialtoken imagetoken numberoftokens initialclustertoken csrftokenheader
		existingsecret pullsecret pullsecrets tlssecret publickey pubkey publishablekey primarykey foreignkey partitionkey sortkey cachekey
		routingkey rowkey groupkey idempotencykey hostkey sshkey trustedkey keykey objectkey s3key configkey labelkey mapkey messagekey
		signingkeyid dedupkey shardkey clusteringkey servicekeyname kmskey gpgkey exportsecretkey listsecretkey deletesecretkey recvkey recvkeys searchkeys refreshkeys exportkey deletekey localkey aptkey signkeyid keyring statuskey`)
}

// attributes are the words after a secret one that make the whole the name of
// something that is not secret: where the secret is, what it is like, who made
// it.
func attributes() map[string]bool {
	all := map[string]bool{}
	for word := range strings.FieldsSeq(`
		file files path paths dir dirs directory folder location mount name names size max min ttl age lifetime expiry expire expires
		expiration expirations timeout interval period length len limit limits count counts num number policy policies mode modes
		type types kind domain domains samesite secure httponly url urls uri uris endpoint endpoints host hosts hostname port
		addr address server header headers field fields column param params parameter prefix suffix format version
		algorithm algorithms algo alg ca cert certificate issuer issuers audience audiences scope scopes scheme claim claims
		method methods provider providers backend backends store manager engine source sources ref refs reference required
		optional enabled disabled disable enable allowed validation validator verification verify check checks strength
		complexity rotation rotate refresh renew renewal cache bucket buckets rate jar stdin fd prompt group groups role roles
		config conf kubeconfig settings options opts plugin module class handler command cmd script helper
		webhook regex pattern delimiter separator index embedding embeddings dim vocab per second seconds minutes hours days
		threads window budget parser only less auth authentication seconds reviewer review days history reuse lookup
		dropout mask map position charset encoding encoder encryption bits iterations cost rounds metadata labels label namespace projection usage usages revision
		description comment title template tag tags threshold`) {
		all[word] = true
	}
	return all
}

// The names whose value may be several words: a scheme and a value, a list.
const (
	authorization = "authorization"
	cookie        = "cookie"
)

// secret says whether the value of a name, such as "--db-password" or "API_KEY",
// is to be hidden. whole says that value is all of it, and not the start of more.
func (r *Redactor) secret(s, value string, whole bool) bool {
	for _, n := range r.own {
		if n.within(s) {
			return true
		}
	}
	plain := quoteAt(value, 0) == ""
	if !whole {
		value = bare(value)
	}
	first := value // as JSON and queries go on behind it
	if n := strings.IndexAny(value, "}]&|;"); n >= 0 && plain {
		first = value[:n]
	}
	if plain && !whole {
		value = strings.TrimRight(value, "}]")
	}
	if (s == "PWD" || s == "OLDPWD") && strings.HasPrefix(value, "/") || s == "--secret-id" { // the shell's directories; a name in AWS
		return false
	}
	if strings.HasPrefix(s, "--no-") || strings.HasPrefix(s, "-no-") || strings.HasPrefix(s, "--ask-") {
		return false // it takes no value
	}
	for i := range len(s) {
		for _, n := range r.names[lower(s[i])] {
			if end := n.match(s, i); end > 0 && n.counts(s, i, end, first) &&
				!r.isHarmless(s, i, end) && !r.isAttribute(s[end:]) {
				return !isReference(value)
			}
		}
	}
	return false
}

// counts says whether a match at s[start:end] is meant.
func (n name) counts(s string, start, end int, value string) bool {
	w := n.when
	switch {
	case w&wordEnds != 0 && !endsWord(s, end),
		w&noNumber != 0 && isNumber(value),
		w&digits != 0 && (!isNumber(value) || wordEnd(value, 0) < 4),
		w&noMethod != 0 && isMethod(value),
		w&wordStarts != 0 && !startsWord(s, start),
		w&nameEnds != 0 && strings.Trim(s[end:], "0123456789-_.") != "",
		w&random != 0 && !looksRandom(value),
		w&variable != 0 && (strings.Trim(s[:start], "-_.") == "" || !isUpper(s[start]) || !isUpper(s[end-1])):
		return false
	}
	return true
}

// isHarmless says whether s[start:end] is part of a harmless word.
func (r *Redactor) isHarmless(s string, start, end int) bool {
	const longest = 32 // of a harmless word, with its joints
	for i := max(0, start-longest); i <= start; i++ {
		for _, n := range r.harmless {
			if m := n.match(s, i); startsWord(s, i) && (m >= end || m == end-1 && lower(s[m]) == 's') {
				return true
			}
		}
	}
	return false
}

// isAttribute says whether one of the words in what follows a secret one makes
// it harmless.
func (r *Redactor) isAttribute(rest string) bool {
	for i := 0; i < len(rest); {
		if isJoint(rest[i]) {
			i++
			continue
		}
		end := i + 1
		for end < len(rest) && isLetter(rest[end]) && (!isUpper(rest[end]) || isUpper(rest[end-1])) {
			end++
		}
		var word [16]byte
		if n := end - i; n <= len(word) {
			for k := range n {
				word[k] = lower(rest[i+k])
			}
			if r.attributes[string(word[:n])] {
				return true
			}
		}
		i = end
	}
	return false
}

// looked is how much of a value is looked at, to tell what kind it is.
const looked = 256

// bare is the first word of a value, less a quote before and what closes it.
func bare(value string) string {
	value = strings.TrimLeft(value[:min(len(value), looked)], "\"'`\\")
	end := 0
	for end < len(value) && !isBlank(value[end]) && !isQuote(value[end]) && value[end] != '\\' && value[end] != ',' {
		end++
	}
	return value[:end]
}

// isReference says whether a value only says where a secret is, or that there is
// none.
func isReference(v string) bool {
	for _, word := range [...]string{"true", "false", "yes", "no", "on", "off", "none", "null", "nil", "enabled", "disabled", "required", "optional", "never", "always", "stdin", "-", "/"} {
		if strings.EqualFold(v, word) {
			return true
		}
	}
	for _, prefix := range [...]string{"file:", "env:", "fd:", "arn:aws", "{{", "./", "../", "~/", "@/", "id=", "type=", "source=", "src="} {
		if strings.HasPrefix(v, prefix) {
			return true
		}
	}
	if isVariable(v) || v != "" && len(v) <= 2 && isNumber(v) { // a switch, a count
		return true
	}
	if len(v) > 2 && v[0] == '/' {
		root, _, deep := strings.Cut(v[1:], "/")
		switch root {
		case "etc", "var", "run", "home", "root", "opt", "usr", "tmp", "srv", "mnt", "secrets", "data", "dev", "proc", "app", "config", "keys", "certs", "vault", "workspace":
			return deep
		}
	}
	return false
}

// isVariable says whether a shell is to put the value in.
func isVariable(v string) bool {
	return strings.HasPrefix(v, "${") || strings.HasPrefix(v, "$(") ||
		len(v) > 1 && v[0] == '$' && isConstant(v[1:]) && isLetter(v[1])
}

// isConstant says whether s is written as variables of the environment are.
func isConstant(s string) bool {
	return strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == ""
}

// looksRandom says whether a machine may have made s: long, of letters and
// digits, and no path, digest or UUID.
func looksRandom(s string) bool {
	const least = 16
	s, _, _ = strings.Cut(s, "&") // of a query
	letters, digits, others := 0, 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case isLetter(c):
			letters++
		case isDigit(c):
			digits++
		case strings.IndexByte("+/=_-%~", c) >= 0:
			others++
		default:
			return false
		}
	}
	return len(s) >= least && letters > 0 && digits > 1 && s[0] != '/' && others*4 <= len(s) && !isUUID(s)
}

func isUUID(s string) bool {
	return len(s) == 36 && s[8] == '-' && s[13] == '-' && s[18] == '-' && s[23] == '-' && strings.Trim(s, "0123456789abcdefABCDEF-") == ""
}

// isMethod says whether s names a way of authentication, or the file that it takes.
func isMethod(s string) bool {
	switch strings.ToLower(s[strings.LastIndexByte(s, '.')+1:]) {
	case "key", "pem", "crt", "txt", "json", "yaml", "yml", "toml", "conf", "cfg", "ini", "db", "htpasswd":
		return strings.IndexByte(s, '.') > 0
	}
	switch strings.ToLower(s) {
	case "ldap", "basic", "digest", "bearer", "plain", "login", "oauth", "oauth2", "oidc", "saml", "sso", "kerberos", "gssapi", "gss", "spnego",
		"negotiate", "ntlm", "pam", "jwt", "token", "tokens", "simple", "password", "md5", "trust", "peer", "ident", "cert", "x509", "tls", "mtls", "iam",
		"sha1", "sha224", "sha256", "sha384", "sha512", "sha-1", "sha-256", "sha-384", "sha-512",
		"scram-sha-256", "scram-sha-512", "cram-md5", "mysql_native_password", "caching_sha2_password", "anonymous", "any", "all", "both",
		"local", "internal", "external", "default", "insecure", "users", "roles", "rbac", "github", "google", "publickey":
		return true
	}
	return false
}

// isNumber says whether a number stands at the start of s.
func isNumber(s string) bool {
	s = s[:wordEnd(s, 0)]
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// within says whether the pattern occurs in s.
func (n name) within(s string) bool {
	for i := range len(s) {
		if !isJoint(s[i]) && n.match(s, i) > 0 {
			return true
		}
	}
	return false
}

// match returns the end of the pattern in s when it starts at i, or 0.
func (n name) match(s string, i int) int {
	for k := 0; k < len(n.text); i++ {
		switch {
		case i == len(s):
			return 0
		case lower(s[i]) == n.text[k]:
			k++
		case !isJoint(s[i]):
			return 0
		}
	}
	return i
}

// startsWord says whether a word starts at s[start].
func startsWord(s string, start int) bool {
	return start == 0 || !isLetter(s[start-1]) || (isUpper(s[start]) && !isUpper(s[start-1]))
}

// endsWord says whether a word ends before s[end]: at the end, at a mark, or
// where camel case starts the next one.
func endsWord(s string, end int) bool {
	if end == len(s) || !isLetter(s[end]) {
		return true
	}
	return isUpper(s[end]) && !isUpper(s[end-1])
}

func isJoint(c byte) bool  { return c == '-' || c == '_' || c == '.' }
func isUpper(c byte) bool  { return 'A' <= c && c <= 'Z' }
func isLetter(c byte) bool { return isUpper(c) || ('a' <= c && c <= 'z') }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isQuote(c byte) bool  { return c == '"' || c == '\'' || c == '`' }

// isName says whether c may be part of a name. Bytes beyond ASCII are: a
// pattern may have them.
func isName(c byte) bool { return isLetter(c) || isDigit(c) || isJoint(c) || c >= 0x80 }

// isBlank takes every control character for a blank: none belongs to a value.
func isBlank(c byte) bool { return c <= ' ' || c == 0x7f }

func lower(c byte) byte {
	if isUpper(c) {
		c += 'a' - 'A'
	}
	return c
}
