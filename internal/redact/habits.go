package redact

import "strings"

// habit is how a program takes a secret whose flag's name does not say so.
type habit struct {
	// verbs have to come first, in this order: docker login. "-b" is any group of
	// one-letter flags that has it; "http-basic.*" is any word that begins so.
	verbs []string
	// flags whose value is a secret: "-p VALUE".
	flags []string
	// joined are those whose value follows at once: "-pVALUE".
	joined []string
	// after is what the secret follows within the value: ":" in USER:PASSWORD.
	after string
	// at is the first of the arguments without a dash that is a secret; 0 is none.
	at int
	// next: at counts words that follow each other, without flags between.
	next bool
	// named: NAME=VALUE is not the secret that at means.
	named bool
	// bare: names of secrets stand without a dash before their value.
	bare bool
	// pairs: each NAME=VALUE holds a secret.
	pairs bool
	// target: a word is [DOMAIN/]USER:PASSWORD@HOST, without a scheme.
	target bool
}

// habits are by the program's name. What is known of a program is taken from its
// manual. Programs without one are those that others run: their flags are not
// those of sshpass.
func habits() map[string][]habit {
	all := map[string][]habit{}
	for _, of := range []struct {
		programs string
		verbs    string
		habit    habit
	}{
		{"ssh scp sftp rsync sed mkdir nmap cp tar python python3 node java git grep rg ag sort ps kill gcloud journalctl", "", habit{}},
		{"sshpass mongo mongosh mongodump mongorestore mongoexport mongoimport cqlsh beeline rabbitmqadmin ncftp ncftpput elasticsearch-users pkcs11-tool", "", habit{flags: []string{"-p"}, joined: []string{"-p"}}},
		{"redis-cli valkey-cli keydb-cli", "", habit{flags: []string{"-a"}}},
		{"redis-cli valkey-cli keydb-cli", "config set", habit{bare: true}},
		{"redis-cli valkey-cli keydb-cli", "CONFIG SET", habit{bare: true}},
		{"redis-cli valkey-cli keydb-cli", "acl setuser", habit{joined: []string{">", "<", "#"}}},
		{"redis-cli valkey-cli keydb-cli", "ACL SETUSER", habit{joined: []string{">", "<", "#"}}},
		{"redis-cli valkey-cli keydb-cli", "auth", habit{at: 1}},
		{"redis-cli valkey-cli keydb-cli", "AUTH", habit{at: 1}},
		{"mysql mysqldump mysqladmin mysqlimport mysqlcheck mysqlshow mysqlslap mysqlbinlog mysql_upgrade mysqlpump", "", habit{joined: []string{"-p"}}},
		{"mariadb mariadb-dump mariadb-admin mariadb-import mariadb-check mariadb-binlog 7z 7za 7zr 7zz rar unrar", "", habit{joined: []string{"-p", "-hp"}}},
		{"mysqladmin mariadb-admin", "password", habit{at: 1}},
		{"docker podman nerdctl buildah skopeo helm oras crane regctl oc argocd az", "login", habit{flags: []string{"-p"}, joined: []string{"-p"}}},
		{"ldapsearch ldapadd ldapmodify ldapdelete ldapmodrdn ldapcompare ldapwhoami ldapexop ldappasswd", "", habit{flags: []string{"-w"}, joined: []string{"-w"}}},
		{"ldappasswd", "", habit{flags: []string{"-a", "-s"}, joined: []string{"-a", "-s"}}},
		{"sqlcmd bcp zip zipcloak unzip mosquitto_pub mosquitto_sub ipmitool yubico-piv-tool", "", habit{flags: []string{"-P"}, joined: []string{"-P"}}},
		{"curl", "", habit{flags: []string{"-u", "-U"}, joined: []string{"-u", "-U"}, after: ":"}},
		{"curl", "", habit{flags: []string{"-E", "--cert", "--proxy-cert"}, after: ":"}},
		{"curl", "", habit{flags: []string{"-b"}, joined: []string{"-b"}, after: "="}},
		{"ab", "", habit{flags: []string{"-A", "-P"}, after: ":"}},
		{"ab", "", habit{flags: []string{"-C"}, after: "="}},
		{"http https xh hey", "", habit{flags: []string{"-a"}, after: ":"}},
		{"etcdctl", "", habit{flags: []string{"--user"}, after: ":"}},
		{"etcdctl", "user add", habit{at: 1, after: ":"}},
		{"k3s rke2", "", habit{flags: []string{"-t"}}},
		{"kubectl oc", "patch secret*", habit{flags: []string{"-p", "--patch"}, joined: []string{"--patch="}}},
		{"swaks", "", habit{flags: []string{"-ap"}}},
		{"salt", "user.chpasswd", habit{at: 2}},
		{"nifi nifi.sh", "set-single-user-credentials", habit{at: 2}},
		{"sops", "", habit{flags: []string{"--set"}, after: "] "}},
		{"lftp", "", habit{flags: []string{"-u"}, after: ","}},
		{"smbclient rpcclient net smbget winexe smbcacls nmblookup wmic", "", habit{flags: []string{"-U", "--user"}, joined: []string{"-U"}, after: "%"}},
		{"wbinfo", "", habit{flags: []string{"-a", "-K"}, after: "%"}},
		{"smbclient", "//*", habit{at: 1, next: true}},
		{"smbclient", `\\*`, habit{at: 1, next: true}},
		{"sqlplus expdp impdp sqlldr exp imp", "", habit{at: 1, after: "/"}},
		{"rman", "target", habit{at: 1, after: "/"}},
		{"openssl", "", habit{flags: []string{"-k", "-K", "-passin", "-passout", "-pass", "-password", "-psk", "-hmac", "-srppass", "-key_passwd"}}},
		{"openssl", "", habit{flags: []string{"-macopt"}, after: ":"}},
		{"openssl", "passwd", habit{at: 1}},
		{"htpasswd", "-b", habit{at: 3}},
		{"htpasswd", "-n", habit{at: 2}},
		{"snmpwalk snmpget snmpset snmpbulkwalk snmptrap snmpgetnext snmptable snmpstatus", "", habit{flags: []string{"-A", "-X", "-c", "-k", "-K"}, joined: []string{"-c"}}},
		{"ssh-keygen", "", habit{flags: []string{"-N", "-P"}}},
		{"useradd usermod adduser", "", habit{flags: []string{"-p"}}},
		{"mkpasswd", "", habit{at: 1}},
		{"wpa_passphrase", "", habit{at: 2}},
		{"nmcli hostapd_cli wpa_cli pppd", "", habit{bare: true}},
		{"pdftk qpdf rclone", "", habit{bare: true}},
		{"qpdf", "--encrypt", habit{at: 1}},
		{"rclone", "obscure", habit{at: 1}},
		{"rdesktop", "", habit{flags: []string{"-p"}}},
		{"xfreerdp wlfreerdp freerdp xfreerdp3 sdl-freerdp sdl-freerdp3", "", habit{joined: []string{"/p:", "/gp:", "/pth:"}}},
		{"x11vnc", "", habit{flags: []string{"-passwd", "-viewpasswd"}}},
		{"smbpasswd", "", habit{flags: []string{"-w"}}},
		{"rabbitmqctl", "add_user", habit{at: 2}},
		{"rabbitmqctl", "change_password", habit{at: 2}},
		{"rabbitmqctl", "authenticate_user", habit{at: 2}},
		{"vault bao", "login", habit{at: 1, named: true}},
		{"vault bao", "unwrap", habit{at: 1}},
		{"vault bao", "operator unseal", habit{at: 1}},
		{"vault bao", "token lookup", habit{at: 1}},
		{"vault bao", "token revoke", habit{at: 1}},
		{"vault bao", "token renew", habit{at: 1}},
		{"vault bao", "kv put", habit{pairs: true}},
		{"vault bao", "kv patch", habit{pairs: true}},
		{"heroku", "config:set", habit{pairs: true}},
		{"fly flyctl", "secrets set", habit{pairs: true}},
		{"gh", "secret set", habit{flags: []string{"-b", "--body"}}},
		{"wrangler", "secret put", habit{at: 2}},
		{"mc mcli", "alias set", habit{at: 4}},
		{"mc mcli", "config host add", habit{at: 4}},
		{"doctl frpc codecov codecovcli", "", habit{flags: []string{"-t"}}},
		{"nuget", "", habit{flags: []string{"-ApiKey"}}},
		{"dotnet", "nuget push", habit{flags: []string{"-k"}}},
		{"cargo", "login", habit{at: 1}},
		{"twine", "upload", habit{flags: []string{"-p"}}},
		{"ngrok", "authtoken", habit{at: 1}},
		{"ngrok", "config add-authtoken", habit{at: 1}},
		{"consul", "agent", habit{flags: []string{"-encrypt"}, joined: []string{"-encrypt="}}},
		{"consul", "kv put", habit{bare: true}},
		{"etcdctl", "put", habit{bare: true}},
		{"redis-sentinel", "auth-pass", habit{at: 2}},
		{"poetry", "config http-basic.*", habit{at: 2}},
		{"serf", "agent", habit{flags: []string{"-encrypt"}}},
		{"ss-server ss-local ss-redir ss-tunnel sslocal ssserver ss-manager", "", habit{flags: []string{"-k"}}},
		{"db2", "", habit{flags: []string{"using"}}},
		{"composer", "config http-basic.*", habit{at: 2}},
		{"composer", "config github-oauth.*", habit{at: 1}},
		{"composer", "config gitlab-token.*", habit{at: 1}},
		{"expect", "", habit{flags: []string{"send"}}},
		{"bundle bundler", "config", habit{at: 2, after: ":"}},
		{"bw bitwarden-cli", "login", habit{at: 2}},
		{"bw bitwarden-cli", "unlock", habit{at: 1}},
		{"samba-tool", "", habit{flags: []string{"-U"}, joined: []string{"-U"}, after: "%"}},
		{"slappasswd", "", habit{flags: []string{"-s"}}},
		{"grafana-cli grafana", "admin reset-admin-password", habit{at: 1}},
		{"zookeeper-shell zookeeper-shell.sh zkCli.sh", "addauth digest", habit{at: 1, after: ":"}},
		{"snyk", "auth", habit{at: 1}},
		{"twilio", "login", habit{at: 2}},
		{"knife gobuster", "", habit{flags: []string{"-P"}}},
		{"yt-dlp youtube-dl hydra medusa", "", habit{flags: []string{"-p"}}},
		{"transmission-remote", "", habit{flags: []string{"-n"}, after: ":"}},
		{"nikto", "", habit{flags: []string{"-id"}, after: ":"}},
		{"deluge-console", "connect", habit{at: 3}},
		{"virsh", "secret-set-value", habit{at: 2, flags: []string{"--base64"}}},
		{"qemu-system-x86_64 qemu-system-aarch64 qemu-system-i386 qemu-img kvm", "", habit{flags: []string{"-object", "--object"}, after: "data="}},
		{"gobuster", "", habit{flags: []string{"-c"}, after: "="}},
		{"wfuzz", "", habit{flags: []string{"-b"}, after: "="}},
		{"net", "user", habit{at: 2}},
		{"pulumi", "config set", habit{at: 2}},
		{"erl iex elixir beam.smp", "", habit{flags: []string{"-setcookie"}}},
		{"isql", "", habit{at: 3, next: true}},
		{"add-user.sh", "", habit{at: 2, next: true}},
		{"sqlplus", "connect", habit{at: 1, after: "/"}},
		{"redis-benchmark memtier_benchmark", "", habit{flags: []string{"-a"}}},
		{"wandb", "login", habit{at: 1}},
		{"nsupdate dig", "", habit{flags: []string{"-y"}, after: ":"}},
		{"ip", "xfrm enc *", habit{at: 1, next: true}},
		{"ip", "xfrm auth *", habit{at: 1, next: true}},
		{"ip", "xfrm auth-trunc *", habit{at: 1, next: true}},
		{"ip", "xfrm aead *", habit{at: 1, next: true}},
		{"ip", "macsec key *", habit{at: 1, next: true}},
		{"iwconfig iw", "key", habit{at: 1, next: true}},
		{"iw", "key", habit{at: 2, next: true}},
		{"iscsiadm", "node.session.auth.password*", habit{flags: []string{"-v", "--value"}}},
		{"gsutil", "signurl", habit{flags: []string{"-p"}}},
		{"b2", "authorize-account", habit{at: 2}},
		{"swift", "", habit{flags: []string{"-K"}}},
		{"VBoxManage", "setcredentials", habit{at: 2}},
		{"vmrun", "", habit{flags: []string{"-gp", "-vp", "-p"}}},
		{"net", `use \\*`, habit{at: 1, next: true}},
		{"samba-tool", "user create", habit{at: 2, next: true}},
		{"samba-tool", "user add", habit{at: 2, next: true}},
		{impacket(), "", habit{flags: []string{"-hashes"}, target: true}},
		{"mysqlsh lftp", "", habit{target: true}},
		{"nxc netexec crackmapexec evil-winrm", "", habit{flags: []string{"-H", "-p"}}},
		{"mosquitto_passwd", "-b", habit{at: 3}},
		{"ejabberdctl prosodyctl", "register", habit{at: 3}},
		{"drush", "user:password", habit{at: 2}},
		{"squidclient", "", habit{flags: []string{"-w", "-W"}}},
		{"check_http check_curl check_disk_smb", "", habit{flags: []string{"-a", "-p"}, after: ":"}},
		{"check_snmp", "", habit{flags: []string{"-C", "-A", "-X"}}},
		{"gpg-preset-passphrase", "", habit{flags: []string{"-P"}}},
		{"mutool msoffcrypto-tool unar lsar tpm2_createprimary tpm2_create tpm2_load tpm2_unseal", "", habit{flags: []string{"-p"}}},
		{"mcrypt mdecrypt", "", habit{flags: []string{"-k"}}},
		{"ccrypt ccencrypt ccdecrypt ccat", "", habit{flags: []string{"-K", "--key"}}},
		{"caddy", "hash-password", habit{flags: []string{"--plaintext", "-plaintext", "-p"}}},
		{"neo4j-admin", "set-initial-password", habit{at: 1}},
		{"ecryptfs-add-passphrase", "", habit{at: 1, next: true}},
		{"aws", "ssm put-parameter", habit{flags: []string{"--value"}, joined: []string{"--value="}}},
		{"az", "secret set", habit{flags: []string{"--value"}, joined: []string{"--value="}}},
		{"secret-tool", "store", habit{flags: []string{"--value"}, joined: []string{"--value="}}},
		{"doppler supabase infisical", "secrets set", habit{pairs: true}},
		{"transmission-daemon", "", habit{flags: []string{"-v"}}},
		{"steamcmd", "+login", habit{at: 2, next: true}},
		{"security", "", habit{flags: []string{"-P"}}},
		{"security", "unlock-keychain", habit{flags: []string{"-p"}}},
		{"security", "create-keychain", habit{flags: []string{"-p"}}},
		{"security", "add-generic-password", habit{flags: []string{"-w"}}},
		{"security", "add-internet-password", habit{flags: []string{"-w"}}},
		{"signtool", "sign", habit{flags: []string{"/p"}}},
		{"bitcoin-cli", "walletpassphrase", habit{at: 1}},
		{"steghide outguess", "", habit{flags: []string{"-p", "-k"}}},
		{"kubectl oc k3s", "create secret", habit{flags: []string{"--from-literal"}, joined: []string{"--from-literal="}, after: "="}},
		{"kadmin kadmin.local ipa-client-install ipa-replica-install ipa-server-install", "", habit{flags: []string{"-w", "-pw"}}},
		{"schtasks", "", habit{flags: []string{"/rp", "/RP"}}},
		{"mc mcli", "admin user add", habit{at: 3}},
		{"vault bao", "token create", habit{flags: []string{"-id"}, joined: []string{"-id="}}},
		{"civo", "apikey add", habit{at: 2}},
		{"racadm", "", habit{bare: true}},
		{"vercel vc", "", habit{flags: []string{"-t"}}},
		{"mimirtool cortextool", "", habit{flags: []string{"--key"}, joined: []string{"--key="}}},
		{"zerotier-cli", "", habit{joined: []string{"-T"}}},
		{"drone", "secret add", habit{flags: []string{"--data"}, joined: []string{"--data="}}},
		{"drone", "secret update", habit{flags: []string{"--data"}, joined: []string{"--data="}}},
		{"ansible-vault", "encrypt_string", habit{at: 1}},
		{"wg", "", habit{bare: true}},
		{"radtest", "", habit{at: 2, next: true}},
		{"radtest", "", habit{at: 5, next: true}},
		{"virsh", "set_password", habit{flags: []string{"vnc", "spice"}}},
	} {
		of.habit.verbs = strings.Fields(of.verbs)
		for program := range strings.FieldsSeq(of.programs) {
			if of.habit.takesNothing() {
				all[program] = nil
				continue
			}
			all[program] = append(all[program], of.habit)
		}
	}
	return all
}

func (h *habit) takesNothing() bool {
	return h.flags == nil && h.joined == nil && h.at == 0 && !h.bare && !h.pairs && !h.target
}

// impacket are the programs of that collection, as it names them and as Debian does.
func impacket() string {
	var b strings.Builder
	for name := range strings.FieldsSeq(`
		secretsdump psexec wmiexec smbexec atexec dcomexec mssqlclient smbclient smbpasswd lookupsid samrdump reg services
		GetUserSPNs GetNPUsers GetADUsers GetADComputers GetLAPSPassword Get-GPPPassword getTGT getST getPac rpcdump netview
		addcomputer rbcd dacledit owneredit changepasswd findDelegation raiseChild rdp_check wmiquery wmipersist goldenPac
		exchanger machine_role net dpapi keylistattack tstool attrib filetime regsecrets badsuccessor`) {
		b.WriteString(name + ".py impacket-" + name + " ")
	}
	return b.String()
}

// prefix is what a well-known kind of secret begins with.
type prefix struct {
	text string
	// least is how many bytes follow at least.
	least int
	// more may follow besides letters, digits, '-' and '_'.
	more string
	// random: what follows looks as if a machine made it.
	random bool
}

// prefixes are facts that their issuers publish, so that leaked keys can be
// found: the documentation of each service, and GitHub's and GitLab's lists of
// what their secret scanning detects.
func prefixes() map[byte][]prefix {
	all := map[byte][]prefix{}
	for _, of := range []struct {
		texts string
		rest  prefix
	}{
		{"AKIA ASIA ABIA ACCA", prefix{least: 12}},
		{"ghp_ gho_ ghu_ ghs_ ghr_ github_pat_", prefix{least: 8}},
		{"glpat- gldt- glrt- glcbt- glptt- glft- glsoat- glimt- glagent- gloas- GR1348941", prefix{least: 8, more: "."}},
		{"xoxb- xoxp- xoxa- xoxr- xoxs- xoxe- xoxc- xoxd- xapp- xoxe.", prefix{least: 8, more: ".%"}},
		{"sk_live_ sk_test_ rk_live_ rk_test_ whsec_ sk-ant- sk-proj- sk-or- sk-svcacct- sk-lf-", prefix{least: 8}},
		{"sk- key- secret_ hf_ r8_ EAA dapi s. LTAI cio", prefix{least: 20, random: true}},
		{"AIza GOCSPX- ya29. 1//0", prefix{least: 10, more: "._/"}},
		{"hvs. hvb. hvr. SG. dp.pt. dp.st. dp.ct. dt0c01. dt0s01. amzn.mws. lin_api_ lin_oauth_ sk.eyJ", prefix{least: 10, more: "."}},
		{"npm_ pypi- rubygems_ dckr_pat_ dckr_oat_ shpat_ shpss_ shpca_ shppa_ gsk_ xai- nvapi- pplx- tvly- sbp_ ntn_ figd_", prefix{least: 14}},
		{"dop_v1_ doo_v1_ dor_v1_ pscale_tkn_ pscale_pw_ pscale_oauth_ glsa_ glc_ sntrys_ sntryu_ PMAK- NRAK- NRJS- NRRA- NRII- NRSP-", prefix{least: 10, more: "+/="}},
		{"ATATT3 ATCTT3 ATBB BBDC- AKCp sq0atp- sq0csp- EZAK EZTK FLWSECK SWMTKN-1- tskey- fo1_ FlyV1 rzp_live_ shippo_live_ duffel_live_ HRKU-", prefix{least: 12, more: "="}},
		{"AGE-SECRET-KEY-1 sha256~ ops_eyJ PVEAPIToken=", prefix{least: 20, more: "!@="}},
		{"$1$ $5$ $6$ $y$ $2a$ $2b$ $2y$ $apr1$ $argon2", prefix{least: 16, more: "$./=,+"}},
	} {
		for text := range strings.FieldsSeq(of.texts) {
			of.rest.text = text
			all[text[0]] = append(all[text[0]], of.rest)
		}
	}
	return all
}

// hook is a webhook's address: where its secret begins.
type hook struct {
	host, path string
	to         string // what ends it, besides what ends an address or begins a query
}

func hooks() []hook {
	return []hook{
		{"hooks.slack.com", "/services/", ""}, {"hooks.slack.com", "/workflows/", ""}, {"hooks.slack.com", "/triggers/", ""},
		{"discord.com", "/webhooks/", ""}, {"discordapp.com", "/webhooks/", ""}, // the number, then the token
		{"webhook.office.com", "/webhookb2/", ""}, {"outlook.office.com", "/webhook/", ""}, {"outlook.office365.com", "/webhook/", ""},
		{"api.telegram.org", "/bot", "/"}, {"hooks.zapier.com", "/hooks/catch/", ""}, {"maker.ifttt.com", "/with/key/", "/"},
		{"open.feishu.cn", "/bot/v2/hook/", ""}, {"open.larksuite.com", "/bot/v2/hook/", ""},
		{"hc-ping.com", "/", "/"}, {"events.pagerduty.com", "/integration/", "/"}, {"", "/hooks/", ""}, {"uptime.betterstack.com", "/heartbeat/", ""},
		{"api.twilio.com", "/Tokens/", "/"}, {"heartbeat.uptimerobot.com", "/", ""}, {"webhook.site", "/", ""},
	}
}
