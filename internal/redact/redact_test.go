package redact

import (
	"math/rand/v2"
	"strings"
	"testing"
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
		{"camel case", "x accessToken=a tokenFile=b", "x accessToken=*** tokenFile=***"},
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

func TestExtraNames(t *testing.T) {
	const in = "x --Session-ID=abc --pin 1234 --schlüssel=xyz"
	if got := New().Cmdline(in); got != in {
		t.Errorf("without extra names: %q", got)
	}
	const want = "x --Session-ID=*** --pin *** --schlüssel=***"
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

const harmless = "/usr/lib/jvm/bin/java -Xmx2g -XX:+UseG1GC -Dspring.profiles.active=prod -jar /srv/app.jar --server.port=8080 --url http://db:5432/x"

func TestNoAllocation(t *testing.T) {
	r := New()
	if n := testing.AllocsPerRun(100, func() { r.Cmdline(harmless) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCmdline(b *testing.B) {
	r := New()
	b.ReportAllocs()
	for b.Loop() {
		r.Cmdline(harmless)
	}
}

func FuzzIdempotent(f *testing.F) {
	for _, s := range []string{harmless, "--password x", `{"token":"a"}`, "Authorization: Bearer x", "x://u:p@h/", "-u a:b", "token='a'b=c", "://@", "token :  :// @"} {
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
	}
	f.Fuzz(func(t *testing.T, before, after, value string, form uint8) {
		if len(value) == 0 || strings.ContainsFunc(value, func(c rune) bool { return c < 0x80 && (isBlank(byte(c)) || isQuote(byte(c)) || c == '\\') }) {
			t.Skip("not one word")
		}
		value = "S3" + value + "3S" // not part of anything else
		if after != "" && !isBlank(after[0]) {
			after = " " + after
		}
		if strings.Contains(before+after, "S3") {
			t.Skip("the text around holds the value")
		}
		// A name before the secret one could take it for its value; a blank and a
		// word part them.
		s := before + " cmd" + strings.Replace(forms[int(form)%len(forms)], "V", value, 1) + after
		if got := New().Cmdline(s); strings.Contains(got, value) {
			t.Errorf("%q\ngives %q", s, got)
		}
	})
}

// TestPieces puts command lines together from pieces that mean something here,
// which bytes changed at random seldom do.
func TestPieces(t *testing.T) {
	pieces := []string{
		" ", " ", "=", ":", "://", "@", "/", "'", `"`, `\\`, `\\"`, "-", "--", "-u", "--user", "a", "b:c", "8080", "--port",
		"password", "--token", "Authorization", "Bearer", "http", "x", "***", ",", "}", "\n", "\xff", "?", "&", ";", "é",
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
