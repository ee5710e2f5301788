package redact

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func TestCmdline(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"nothing", "java -Xmx2g -jar app.jar --port=8080", "java -Xmx2g -jar app.jar --port=8080"},
		{"empty", "", ""},
		{"flag with =", "app --password=hunter2 -v", "app --password=*** -v"},
		{"flag with blank", "app --password hunter2 -v", "app --password *** -v"},
		{"one dash", "redis -requirepass hunter2", "redis -requirepass ***"},
		{"value with a dash", "app --token -hunter2", "app --token ***"},
		{"flag without value", "app --password --user bob", "app --password --user bob"},
		{"flag at the end", "app --password", "app --password"},
		{"empty value", "app --password= --user bob", "app --password= --user bob"},
		{"two flags", "app --password --token hunter2", "app --password --token ***"},
		{"blank before =", "x password = hunter2", "x password = ***"},
		{"flag, blank, =", "x --password =hunter2", "x --password =***"},
		{"environment", "env DB_PASSWD=hunter2 AWS_SECRET_ACCESS_KEY=abc/def PWD=/tmp app", "env DB_PASSWD=*** AWS_SECRET_ACCESS_KEY=*** PWD=/tmp app"},
		{"api key", "x --api-key=k1 --apiKey k2 API_KEY=k3 --x.api.key k4", "x --api-key=*** --apiKey *** API_KEY=*** --x.api.key ***"},
		{"java property", "java -Djavax.net.ssl.keyStorePassword=hunter2", "java -Djavax.net.ssl.keyStorePassword=***"},
		{"camel case", "x accessToken=a tokenValue=b", "x accessToken=*** tokenValue=***"},
		{"tokens of a model", "vllm --max-tokens 4096 --tokenizer gpt2 --num-tokens=7", "vllm --max-tokens 4096 --tokenizer gpt2 --num-tokens=7"},
		{"author is not auth", "git --author=bob log", "git --author=bob log"},
		{"colon", "openssl -passin pass:hunter2", "openssl -passin ***"},
		{"header", "curl -H Authorization: Bearer hunter2 url", "curl -H Authorization: Bearer *** url"},
		{"header, basic", "curl -H Authorization: Basic aHVudGVyMg== url", "curl -H Authorization: Basic *** url"},
		{"header without scheme", "curl -H Authorization: hunter2 url", "curl -H Authorization: *** url"},
		{"header in quotes", `sh -c curl -H "Authorization: Bearer hunter2" url`, `sh -c curl -H "Authorization: Bearer *** url`},
		{"header cut", "curl -H Authorization: Bearer", "curl -H Authorization: Bearer"},
		{"bearer alone", "x bearer hunter2", "x bearer ***"},
		{"own header", "curl -H X-Api-Key: hunter2", "curl -H X-Api-Key: ***"},
		{"json", `x {"user":"bob","password":"hunter2","port":1}`, `x {"user":"bob","password":"***","port":1}`},
		{"json with blanks", `x { "password" : "hunter 2", "port": 1 }`, `x { "password" : "***", "port": 1 }`},
		{"json in json", `x "{\"password\":\"hunter 2\",\"port\":1}"`, `x "{\"password\":\"***\",\"port\":1}"`},
		{"escaped quote", `x {"token":"hun\"ter2","p":1}`, `x {"token":"***","p":1}`},
		{"shell quotes", "sh -c PGPASSWORD='hunter 2' psql", "sh -c PGPASSWORD='***' psql"},
		{"joined quotes", "sh -c TOKEN='hun'ter2 psql", "sh -c TOKEN='***' psql"},
		{"open quote", "sh -c TOKEN='hunter 2", "sh -c TOKEN='***"},
		{"go and ruby", `x password := "hunter2" token => 'abc'`, `x password := "***" token => '***'`},
		{"url", "psql postgres://bob:hunter2@db:5432/shop", "psql postgres://bob:***@db:5432/shop"},
		{"url without user", "redis-cli -u redis://:hunter2@db", "redis-cli -u redis://:***@db"},
		{"url, odd password", "psql postgres://bob:hu/nt@er2@db/shop", "psql postgres://bob:***@db/shop"},
		{"url with a token", "git clone https://ghp_abc@github.com/a/b", "git clone https://***@github.com/a/b"},
		{"url with a user", "git clone ssh://git@github.com/a/b", "git clone ssh://git@github.com/a/b"},
		{"url, @ in the path", "npm i http://npm:4873/@a/b https://npm/@a/b", "npm i http://npm:4873/@a/b https://npm/@a/b"},
		{"url, odd user", "x amqp://a=b:hunter2@mq", "x amqp://***@mq"},
		{"query", "curl https://x/y?a=1&token=hunter2&b=2", "curl https://x/y?a=1&token=***"},
		{"url, then query", "x http://u:hunter2@h/?password=hunter3", "x http://u:***@h/?password=***"},
		{"curl user", "curl -u bob:hunter2 --proxy-user p:q url", "curl -u bob:*** --proxy-user p:*** url"},
		{"curl user with =", "curl --user=bob:hunter2 url", "curl --user=bob:*** url"},
		{"numeric group", "docker run -u 1000:1000 img", "docker run -u 1000:1000 img"},
		{"connection string", "x AccountName=a;AccountKey=hunter2==;E=core", "x AccountName=a;AccountKey=***"},
		{"upper case", "x PASSWORD=hunter2", "x PASSWORD=***"},
		{"control characters", "x --password\nhunter2\x00y", "x --password\n***\x00y"},
		{"bearer flags", "x --oauth2-bearer S1 --bearer S2 bearer=S3", "x --oauth2-bearer *** --bearer *** bearer=***"},
		{"auth", `http --auth user:S1 --http-auth=S2 {"auth":"S3"}`, `http --auth *** --http-auth=*** {"auth":"***"}`},
		{"auth of other kinds", "x --auth-mode basic --authority a --no-auth --author bob", "x --auth-mode basic --authority a --no-auth --author bob"},
		{"tokens", "x --tokens S1 --api-tokens=S2", "x --tokens *** --api-tokens=***"},
		{"pat", "x --pat S1 GITHUB_PAT=S2 --pattern p --compat=1", "x --pat *** GITHUB_PAT=*** --pattern p --compat=1"},
		{"pw", "x rootpw=S1 -pw S2", "x rootpw=*** -pw ***"},
		{"key in the environment", "env STRIPE_KEY=S1 x --key=2 --sort-key id KEY=3", "env STRIPE_KEY=*** x --key=2 --sort-key id KEY=3"},
		{"harmless words", "x --bypass=a --compass b --pass-through c --passes 3 --pass-thru=d", "x --bypass=a --compass b --pass-through c --passes 3 --pass-thru=d"},
		{"a secret beside a harmless word", "x --bypass-password=S1 --compass_pass S2", "x --bypass-password=*** --compass_pass ***"},
		{
			"where a secret is", "x --password-file /p --secretName n -Dtoken.max=3 --token-bucket-size 4 --token-path=/t SECRETS_DIR=/s --passwordfile f",
			"x --password-file /p --secretName n -Dtoken.max=3 --token-bucket-size 4 --token-path=/t SECRETS_DIR=/s --passwordfile f",
		},
		{"AWS key", "x AKIAIOSFODNN7EXAMPLE /AKIA/ AKIAIOSFODNN7EXAMPLE:b", "x *** /AKIA/ ***:b"},
		{"GitHub tokens", "x a=ghp_0123456789abcdefABCDEF0123456789abcd,github_pat_11AAAAAAA0_abc xghp_0123456789", "x a=***,*** xghp_0123456789"},
		{"Slack token", "x 'xoxb-1234-5678-abcdEFGH'", "x '***'"},
		{"Stripe key", "x sk_live_4eC39HqLyjWDarjtT1zdp7dc", "x ***"},
		{"JWT", "x q=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U; eyJ.a", "x q=***; eyJ.a"},
		{"sshpass", "sshpass -p S1 ssh -p 22 h", "sshpass -p *** ssh -p 22 h"},
		{"sshpass, joined", "/usr/bin/sshpass -pS1 ssh h", "/usr/bin/sshpass -p*** ssh h"},
		{"redis-cli", "redis-cli -h db -a S1 ping", "redis-cli -h db -a *** ping"},
		{"mysql", "sudo mysql -uroot -pS1 -P 3306 -p db", "sudo mysql -uroot -p*** -P 3306 -p db"},
		{"empty in quotes", `ssh-keygen -N "" -f k --password '' --token=''`, `ssh-keygen -N "" -f k --password '' --token=''`},
		{"mysql in a shell", `sh -c "mysqldump -pS1 db"`, `sh -c "mysqldump -p*** db"`},
		{"docker login", "docker login -u bob -p S1 reg", "docker login -u bob -p *** reg"},
		{"docker run", "docker run -p 80:80 img", "docker run -p 80:80 img"},
		{"other -p", "mkdir -p a; ssh -p 22 h; nmap -p1-1000 h", "mkdir -p a; ssh -p 22 h; nmap -p1-1000 h"},
		{"curl user, joined", "curl -ubob:S1 url", "curl -ubob:*** url"},
		{"curl user after other flags", "curl -sSu bob:S1 url", "curl -sSu bob:*** url"},
		{"httpie", "http -a bob:S1 url", "http -a bob:*** url"},
		{"cookies", "curl -H Cookie: a=S1; b=S2; c=S3 url", "curl -H Cookie: *** url"},
		{"cookies in quotes", `sh -c curl -H "Cookie: a=S1; b=S2" url`, `sh -c curl -H "Cookie: *** url`},
		{
			"digest", `curl -H Authorization: Digest username="bob", realm="a b", response="S1" url`,
			"curl -H Authorization: Digest *** url",
		},
		{
			"digest in quotes", `curl -H 'Authorization: Digest username="bob", realm="a b", response="S1"' url`,
			`curl -H 'Authorization: Digest *** url`,
		},
		{"basic in quotes", `curl -H "Authorization: Basic aHVudGVyMg==" "url"`, `curl -H "Authorization: Basic *** "url"`},
		{"invalid UTF-8", "x p\xffword=a password=\xff\xfe", "x p\xffword=a password=***"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := New()
			got := r.Cmdline(tt.in)
			if got != tt.want {
				t.Errorf("Cmdline(%q)\n got %q\nwant %q", tt.in, got, tt.want)
			}
			if again := r.Cmdline(got); again != got {
				t.Errorf("again: %q, was %q", again, got)
			}
		})
	}
}

// TestArgs: where an argument ends is known. "|" stands for the NUL.
func TestArgs(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"nothing", "java|-jar|my app.jar", "java -jar my app.jar"},
		{"empty", "", ""},
		{"a value with blanks", "app|--password|x SECRET2|-v", "app --password *** -v"},
		{"a value that begins with a blank", "app|--password| x SECRET2|-v", "app --password *** -v"},
		{"an empty value", "app|--password||--port|80", "app --password  --port 80"},
		{"an empty value, then an argument", "app|--password||run", "app --password  run"},
		{"an empty value of a tool's flag", "sshpass|-p||ssh|h", "sshpass -p  ssh h"},
		{"flag with =", "app|--password=x SECRET2|-v", "app --password=*** -v"},
		{"flag with = and nothing", "app|--password=|run", "app --password= run"},
		{"quotes of its own", `app|--password|"x SECRET2|-v`, "app --password *** -v"},
		{"flag without value", "app|--password|--user|bob", "app --password --user bob"},
		{"environment", "env|DB_PASSWORD=x SECRET2|app|run", "env DB_PASSWORD=*** app run"},
		{"a shell's program", "sh|-c|DB_PASSWORD=S1 app run|x y", "sh -c DB_PASSWORD=*** app run x y"},
		{"a shell's program with quotes", "bash|-lc|DB_PASSWORD='S1 S2' app run", "bash -lc DB_PASSWORD='***' app run"},
		{"an open quote ends with the argument", `sh|-c|x password="S1 S2|run`, `sh -c x password="*** run`},
		{"header", "curl|-H|Authorization: Bearer S1|url", "curl -H Authorization: Bearer *** url"},
		{"header of its own", "curl|-H|X-Api-Key: S1 S2|url", "curl -H X-Api-Key: *** url"},
		{"cookies", "curl|-H|Cookie: a=S1; b=S2|url", "curl -H Cookie: *** url"},
		{"digest", `curl|-H|Authorization: Digest username="bob", realm="a b", response="S1"|url`, "curl -H Authorization: Digest *** url"},
		{"header in two arguments", "x|--authorization|Bearer S1 S2|url", "x --authorization Bearer *** url"},
		{"user", "curl|-u|bob:S1 S2|url", "curl -u bob:*** url"},
		{"user with =", "curl|--user=bob:S1 S2|url", "curl --user=bob:*** url"},
		{"joined flag", "mysql|-pS1 S2|db", "mysql -p*** db"},
		{"flag of a tool", "sshpass|-p|S1 S2|ssh|h", "sshpass -p *** ssh h"},
		{"json", `x|{"password": "S1 S2", "port": 1}|run`, `x {"password": "***", "port": 1} run`},
		{"cut", "app|--password", "app --password"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := strings.ReplaceAll(tt.in, "|", "\x00")
			if got := New().Args(args, strings.ReplaceAll(tt.in, "|", " ")); got != tt.want {
				t.Errorf("Args(%q)\n got %q\nwant %q", tt.in, got, tt.want)
			}
		})
	}
	if got := (*Redactor)(nil).Args("x\x00--password\x00y", "x --password y"); got != "x --password y" {
		t.Errorf("without a redactor: %q", got)
	}
}

func TestExtraNames(t *testing.T) {
	const in = "x --Session-ID=abc --pin abc --schlüssel=xyz --pin-file=f --port=1"
	if got := New().Cmdline(in); got != in {
		t.Errorf("without extra names: %q", got)
	}
	// Who names a pattern means it, whatever follows.
	const want = "x --Session-ID=*** --pin *** --schlüssel=*** --pin-file=*** --port=1"
	if got := New("session_id", "PIN", "Schlüssel", "", "-_").Cmdline(in); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNilHidesNothing(t *testing.T) {
	const in = "x --password=hunter2"
	if got := (*Redactor)(nil).Cmdline(in); got != in {
		t.Errorf("got %q", got)
	}
}

const ordinary = "/usr/lib/jvm/bin/java -Xmx2g -XX:+UseG1GC -Dspring.profiles.active=prod -jar /srv/app.jar --server.port=8080 --url http://db:5432/x"

func TestNoAllocation(t *testing.T) {
	r := New()
	if n := testing.AllocsPerRun(100, func() { r.Cmdline(ordinary) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	args := strings.ReplaceAll(ordinary, " ", "\x00")
	if n := testing.AllocsPerRun(100, func() { r.Args(args, ordinary) }); n != 0 {
		t.Errorf("arguments: %v allocations", n)
	}
}

// TestHostileLength: no command line makes the work grow beyond its length.
func TestHostileLength(t *testing.T) {
	r := New()
	var deep strings.Builder
	for n := range 7 {
		deep.WriteString("%" + strings.Repeat("25", n) + "3Dtoken")
	}
	for _, piece := range []string{
		"=", ":", "\t", "= ", ": ", ":=", ":>", "a:", "a=", deep.String() + "%2525252525252541" + strings.Repeat("=", 300),
		"password", "token:", "a=b:c@d.e", "key_", "'", "\\",
		"-----BEGIN ", "echo x|", "://a:b", "by 'x' ", "-u a -p b ", "mysql -p", "%25", "%3A%2F%2F%40", "%%3A ",
	} {
		for _, length := range []int{longest, 16 << 10} {
			s := strings.Repeat(piece, length/len(piece)+1)[:length]
			begin := time.Now()
			_, _ = r.Cmdline(s), r.Args(strings.ReplaceAll(s, " ", "\x00"), s)
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("%q takes %v", piece, took)
			}
		}
	}
}

func BenchmarkCmdline(b *testing.B) {
	r := New()
	b.ReportAllocs()
	for b.Loop() {
		r.Cmdline(ordinary)
	}
}

func FuzzIdempotent(f *testing.F) {
	for _, s := range []string{ordinary, "--password x", `{"token":"a"}`, "Authorization: Bearer x", "x://u:p@h/", "-u a:b", "token='a'b=c", "://@", "token :  :// @", "curl -ux:y", "mysql -px", "docker login -p x", `Cookie: a="b c"; d`, "ghp_0123456789 eyJaaaa.bbbb.c", "x%3A%2F%2Fu%253Ap%2540h%2F", "%7B%22token%22%3A%20%22a%22%7D"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := New("extra")
		once := r.Cmdline(s)
		if twice := r.Cmdline(once); twice != once {
			t.Errorf("%q\nonce  %q\ntwice %q", s, once, twice)
		}
	})
}

// FuzzHidden puts a value behind each form of a secret argument, with any text
// around it: it must never come out.
func FuzzHidden(f *testing.F) {
	f.Add("java -jar x ", " --port 80", "hunter2", uint8(0))
	f.Add(`sh -c "`, `"`, "p@ss/w:rd=", uint8(5))
	f.Add("x --user=", " y", "-dash", uint8(1))
	forms := []string{
		" --password=V", " --password V", " DB_TOKEN=V", " --api-key V", " passwd: V", " secret=V",
		" Authorization: Bearer V", " X-Api-Key:V", ` {"client_secret":"V"}`, " postgres://bob:V@db/shop", " --passphrase='V'",
		" redis-cli -a V", " sshpass -pV", " htpasswd -b f bob V", " x-auth-token: V", " --masterauth V", " x://u:/V@h", " 7z x -pV",
	}
	f.Fuzz(func(t *testing.T, before, after, value string, form uint8) {
		if len(value) == 0 || strings.ContainsFunc(value, func(c rune) bool { return c < 0x80 && (isBlank(byte(c)) || isQuote(byte(c)) || c == '\\') }) {
			return
		}
		value = "S3" + value + "3S" // not part of anything else
		if after != "" && !isBlank(after[0]) {
			after = " " + after
		}
		if strings.Contains(before+after, "S3") {
			return
		}
		// A name before the secret one could take it for its value; a blank and a
		// word part them.
		s := before + " cmd" + strings.Replace(forms[int(form)%len(forms)], "V", value, 1) + after
		if got := New().Cmdline(s); strings.Contains(got, value) {
			t.Errorf("%q\ngives %q", s, got)
		}
	})
}

// FuzzArgs: whatever the argument behind a secret flag holds, it does not come
// out, and the arguments around it keep their places.
func FuzzArgs(f *testing.F) {
	f.Add("java\x00-jar\x00x", "--port\x0080", "hunter2 \"and' more", uint8(0))
	f.Add("sh\x00-c", "\x00\x00", " ", uint8(1))
	forms := []string{"--password=V", "--api-key\x00V", "DB_TOKEN=V", "X-Api-Key: V", "Authorization: Bearer V"}
	f.Fuzz(func(t *testing.T, before, after, secret string, form uint8) {
		secret = "S3" + secret + "3S"
		if strings.Contains(before+after, "S3") || strings.ContainsRune(secret, 0) {
			return
		}
		args := before + "\x00cmd\x00" + strings.Replace(forms[int(form)%len(forms)], "V", secret, 1) + "\x00" + after
		joined := strings.ReplaceAll(args, "\x00", " ")
		got := New().Args(args, joined)
		if strings.Contains(got, secret) || strings.ContainsRune(got, 0) {
			t.Errorf("%q\ngives %q", args, got)
		}
	})
}

// TestPieces puts command lines together from pieces that mean something here,
// which bytes changed at random seldom do.
func TestPieces(t *testing.T) {
	pieces := []string{
		" ", " ", "=", ":", "://", "@", "/", "'", `"`, `\\`, `\\"`, "-", "--", "-u", "--user", "a", "b:c", "8080", "--port",
		"password", "--token", "Authorization", "Bearer", "http", "x", "***", ",", "}", "\n", "\xff", "?", "&", ";", "é",
		"%3A", "%2F", "%40", "%22", "%25", "%20", "%00", "%",
	}
	forms := []string{" --password=S3cr3t", " --token S3cr3t", " db_secret: S3cr3t", " Authorization: Bearer S3cr3t", " x://a:S3cr3t@h"}
	rnd := rand.New(rand.NewPCG(1, 2))
	r := New()
	var b strings.Builder
	word := func() {
		for range rnd.IntN(12) {
			b.WriteString(pieces[rnd.IntN(len(pieces))])
		}
	}
	for range 100_000 {
		b.Reset()
		word()
		b.WriteString(" cmd")
		b.WriteString(forms[rnd.IntN(len(forms))])
		b.WriteByte(' ')
		word()
		s := b.String()
		once := r.Cmdline(s)
		if strings.Contains(once, "S3cr3t") {
			t.Fatalf("%q\ngives %q", s, once)
		}
		if twice := r.Cmdline(once); twice != once {
			t.Fatalf("%q\nonce  %q\ntwice %q", s, once, twice)
		}
	}
}
