package redact

import "strings"

// What stands in programs, configuration and shells rather than in flags.

// call hides what is in quotes in PASSWORD('x') and auth('bob', 'x'), with the
// bracket at i.
func (p *pass) call(i int) int {
	end := p.callEnd(i)
	key, _ := p.nameBefore(i)
	if end == 0 || key == "" || !p.r.secret(key, p.s[i+1:end-1], true) {
		return p.placed(i, passwordAt(key))
	}
	return p.hideIn(i+1, end-1)
}

// placed hides the nth argument of the call with the bracket at i: new PDO('x', 'bob', 'y').
func (p *pass) placed(i, n int) int {
	const most = 1024
	if n == 0 {
		return i + 1
	}
	s := p.s[:min(p.argEnd(i), i+most)]
	from := i + 1
	for ; ; n-- {
		for from < len(s) && s[from] == ' ' {
			from++
		}
		if n == 1 {
			break
		}
		if from = nextArgument(s, from); from == 0 {
			return i + 1
		}
	}
	if quoteAt(s, from) == "" || isReference(bare(s[from:])) || bare(s[from:]) == Mask {
		return i + 1
	}
	return p.words(from, false)
}

// nextArgument returns where the argument behind the one at i begins, or 0.
func nextArgument(s string, i int) int {
	for depth := 0; i < len(s); {
		if quote := quoteAt(s, i); quote != "" {
			end := closing(s, i+len(quote), quote)
			if end == 0 {
				return 0
			}
			i = end
			continue
		}
		switch s[i] {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth--
		case ',':
			if depth == 0 {
				return i + 1
			}
		}
		if depth < 0 {
			return 0
		}
		i++
	}
	return 0
}

// passwordAt says which argument of a function is a password, 0 for none. The places are
// those of its documentation: PHP's, Perl's DBI, Python's, JDBC's, Go's and .NET's.
func passwordAt(function string) int {
	for at, names := range [...]string{
		2: "login oci_connect oci_pconnect oci_new_connect cx_Oracle.connect oracledb.connect HTTPBasicAuth HTTPDigestAuth HTTPProxyAuth SetBasicAuth auth.basic basic_auth NetworkCredential PSCredential UsernamePasswordCredentials",
		3: "PDO mysqli mysqli_connect mysql_connect mysql_pconnect connect connect_cached getConnection imap_open ldap_bind ftp_login ssh2_auth_password odbc_connect odbc_pconnect ibase_connect FTP FTP.open FTP_TLS Sequelize PlainAuth real_connect",
		4: "mysqli_real_connect",
		5: "SMTP.start",
	} {
		for name := range strings.FieldsSeq(names) {
			n := len(function) - len(name)
			if n >= 0 && strings.EqualFold(function[n:], name) && (n == 0 || function[n-1] == '.') {
				return at
			}
		}
	}
	return 0
}

// defined hides the value of define("DB_PASSWORD", "x") and of ["X-Auth-Token", "x"],
// with the comma at i.
func (p *pass) defined(i int) int {
	key, _ := p.nameBefore(i)
	from := i + 1
	for from < len(p.s) && p.s[from] == ' ' {
		from++
	}
	if from == len(p.s) || !isQuote(p.s[from]) || !isConstant(key) && !strings.HasPrefix(key, "X-") && !strings.HasPrefix(key, "x-") || !p.r.secret(key, p.s[from:p.argEnd(from)], false) {
		return i + 1
	}
	return p.words(from, false)
}

// callEnd returns the end of "('x', 'y')" at i, or 0.
func (p *pass) callEnd(i int) int {
	if i+1 >= len(p.s) || p.s[i] != '(' || !isQuote(p.s[i+1]) {
		return 0
	}
	end := p.argEnd(i)
	if n := strings.IndexByte(p.s[i:end], ')'); n >= 0 {
		return i + 1 + n
	}
	return end + 1 // it was cut
}

// element hides the text of <password>TEXT</password>, with the first tag's end at i.
func (p *pass) element(i int) int {
	key, start := p.nameBefore(i)
	from := i + 1
	if key == "" || start == 0 || p.s[start-1] != '<' {
		return from
	}
	end := strings.IndexByte(p.s[from:p.argEnd(from)], '<')
	if end < 0 && wordEnd(p.s, from) == len(p.s) && p.r.secret(key, p.s[from:], true) {
		return p.hideIn(from, len(p.s)) // it was cut
	}
	if end <= 0 || !strings.HasPrefix(p.s[from+end:], "</") || !p.r.secret(key, p.s[from:from+end], true) {
		return from
	}
	return p.hideIn(from, from+end)
}

// hereString hides what "<<<" at i gives to a program that reads a password.
func (p *pass) hereString(i int) int {
	const most = 200
	begin := max(p.done, i-most)
	command := p.s[begin:i]
	from := i + len("<<<")
	for from < len(p.s) && isBlank(p.s[from]) {
		from++
	}
	for {
		if readsPassword(command) && !isVariable(bare(p.s[from:])) {
			return p.value(from, value{})
		}
		n := strings.IndexAny(command, " \x00;&|'\"")
		if n < 0 {
			return from
		}
		command = command[n+1:]
	}
}

// substituted hides what echo at i writes into a file that a shell makes: <(echo x).
func (p *pass) substituted(i int) int {
	s := p.s[:p.argEnd(i)]
	for i < len(s) && s[i] == '-' { // echo -n
		i = p.afterBlank(wordEnd(s, i))
	}
	end := strings.IndexByte(s[min(i, len(s)):], ')')
	if end <= 0 || isVariable(bare(s[i:])) {
		return i
	}
	return p.hideIn(i, i+end)
}
