package redact

import (
	"strings"
	"testing"
)

// TestStrict: of a command line the program and the names of flags are kept.
func TestStrict(t *testing.T) {
	r := NewStrict()
	for _, tt := range []struct{ name, in, want string }{
		{"flags", "/usr/bin/mysql -uroot -pS1 --host=db shop", "/usr/bin/mysql -u -p --host"},
		{"flags whose values are arguments", "app --port 80 -v x", "app --port -v"},
		{"the longest flag", "app --" + strings.Repeat("x", 38) + "=1", "app --" + strings.Repeat("x", 38)},
		{"longer than a flag", "app --" + strings.Repeat("x", 39) + "=1", "app --***"},
		{"a letter that is no blank, though its last byte is", "Ġapp --port 80", "Ġapp --port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := r.Cmdline(tt.in); got != tt.want {
				t.Errorf("text %q\n got %q\nwant %q", tt.in, got, tt.want)
			}
			if got := r.Args(strings.ReplaceAll(tt.in, " ", "\x00"), tt.in); got != tt.want {
				t.Errorf("arguments %q\n got %q\nwant %q", tt.in, got, tt.want)
			}
		})
	}
}

// TestKinds: a secret of a well-known kind is known by its form, and what is a little
// shorter or otherwise is none.
func TestKinds(t *testing.T) {
	key := func(n int) string { return ":AA" + strings.Repeat("k", n-2) }
	const pem, end = "-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----"
	for _, tt := range []struct{ name, in, want string }{
		{"a bot's token", "x 123456789" + key(35) + " y", "x *** y"},
		{"a bot's number of eight digits", "x 12345678" + key(35), "x ***"},
		{"of seven", "x 1234567" + key(35), "x 1234567" + key(35)},
		{"of twelve", "x 123456789012" + key(35), "x ***"},
		{"of thirteen", "x 1234567890123" + key(35), "x 1234567890123" + key(35)},
		{"the least key of a bot", "x 12345678" + key(33), "x ***"},
		{"a shorter one", "x 12345678" + key(32), "x 12345678" + key(32)},
		{"a random key with two digits", "x sk-abcdefghij1klmnopqr2", "x ***"},
		{"with one", "x sk-abcdefghij1klmnopqrs", "x sk-abcdefghij1klmnopqrs"},
		{"a private key", "x " + pem + " S1 " + end + " y", "x *** y"},
		{"a private key whose end has no name", "x " + pem + " S1 -----END----- y", "x *** y"},
		{"a private key, cut in its end", "x " + pem + " S1 -----END PRI", "x ***"},
		{"a private key, cut in its text", "x " + pem + " S1", "x ***"},
		{"a private key, cut in its name", "x -----BEGIN RSA PRI", "x ***"},
		{"a certificate", "x -----BEGIN CERTIFICATE----- MII -----END CERTIFICATE----- y", "x -----BEGIN CERTIFICATE----- MII -----END CERTIFICATE----- y"},
		{"the least JWT", "x eyJa.bbbb.c y", "x *** y"},
		{"a shorter first part", "x eyJ.bbbb.c y", "x eyJ.bbbb.c y"},
		{"a shorter second part", "x eyJa.bbb.c y", "x eyJa.bbb.c y"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := New().Cmdline(tt.in); got != tt.want {
				t.Errorf("%q\n got %q\nwant %q", tt.in, got, tt.want)
			}
		})
	}
}

// TestMarks: what a mark means where it begins or ends a command line.
func TestMarks(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"a path in C++", "x std::vector", "x std::vector"},
		{"at the start", "::vector x", "::vector x"},
		{"cut behind its colons", "x std::", "x std::"},
		{"two colons, and no path", "x password::12hunter", "x password::***"},
		{"a comma at the start", ",x y", ",x y"},
		{"an assignment at the start", "LANG=C app", "LANG=C app"},
		{"= at the start", "=x y", "=x y"},
		{"a blank and = at the start", " = x", " = x"},
		{"a bracket at the start", "]=x y", "]=x y"},
		{"a quote at the start", `"=x y`, `"=x y`},
		{"a section of settings", "app --Auth:Authority=https://h/x", "app --Auth:Authority=https://h/x"},
		{"one that is cut", "app --Auth:", "app --Auth:"},
		{"a token that ends as a section begins", "app --Token:Abcdefgh=", "app --Token:***"},
		{"Perl's environment", "perl -e $ENV{DB_PASSWORD} = 'S1'", "perl -e $ENV{DB_PASSWORD} = '***'"},
		{"Perl's environment in quotes", "perl -e $ENV{'DB_PASSWORD'} = 'S1'", "perl -e $ENV{'DB_PASSWORD'} = '***'"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := New().Cmdline(tt.in); got != tt.want {
				t.Errorf("%q\n got %q\nwant %q", tt.in, got, tt.want)
			}
		})
	}
}

// TestPlaces: NAME:VALUE may be an image with its tag, or USER:PASSWORD before a host.
func TestPlaces(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"an image at the start", "library/token:1.2 x", "library/token:1.2 x"},
		{"an image", "run token:1.25", "run token:1.25"},
		{"the longest tag", "run token:1.234567890", "run token:1.234567890"},
		{"longer than a tag", "run token:1.2345678901", "run token:***"},
		{"a port", "run token:8080", "run token:8080"},
		{"longer than a port", "run token:80801", "run token:***"},
		{"a host", "x bob:S1@db.example.com", "x bob:***@db.example.com"},
		{"a host and a path", "x bob:S1@db.example.com/shop", "x bob:***@db.example.com/shop"},
		{"this host", "x bob:S1@localhost", "x bob:***@localhost"},
		{"a host and a port", "x bob:S1@db:5432", "x bob:***@db:5432"},
		{"a port alone", "x bob:c@:5432", "x bob:c@:5432"},
		{"an address", "x bob:S1@10.0.0.1", "x bob:***@10.0.0.1"},
		{"a version", "x bob:c@1.5", "x bob:c@1.5"},
		{"a word", "x bob:c@db", "x bob:c@db"},
		{"no name of a host", "x bob:c@d_b.c", "x bob:c@d_b.c"},
		{"Go's driver", "x bob:S1@tcp(db:3306)/shop", "x bob:***@tcp(db:3306)/shop"},
		{"a target", "psexec.py CORP/bob:S1@h", "psexec.py CORP/bob:***@h"},
		{"a target without a host", "psexec.py CORP/bob:S1 x", "psexec.py CORP/bob:*** x"},
		{"a target's password that begins with @", "psexec.py CORP/bob:@S1", "psexec.py CORP/bob:***"},
		{"a target without a domain", "mysqlsh bob:S1@db x", "mysqlsh bob:***@db x"},
		{"neither domain nor host", "mysqlsh bob:c x", "mysqlsh bob:c x"},
		{"a flag before a target", "psexec.py -x:a@b h", "psexec.py -x:a@b h"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := New().Cmdline(tt.in); got != tt.want {
				t.Errorf("%q\n got %q\nwant %q", tt.in, got, tt.want)
			}
		})
	}
}

// TestHabits: what a program takes as a secret, and no more.
func TestHabits(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"pairs, and a query", "vault kv put secret/a?b=c d=S1", "vault kv put secret/a?b=c d=***"},
		{"echo with a flag", "sh -c echo -n S1 | chpasswd", "sh -c echo -n *** | chpasswd"},
		{"echo without a blank before the pipe", "sh -c echo S1| chpasswd", "sh -c echo ***| chpasswd"},
		{"echo, cut", "sh -c echo -n", "sh -c echo -n"},
		{"echo of nothing", "sh -c echo | chpasswd", "sh -c echo | chpasswd"},
		{"echo, or another command", "sh -c echo x || docker login --password-stdin", "sh -c echo x || docker login --password-stdin"},
		{"a here string behind another command", "sh -c true && passwd <<< S1", "sh -c true && passwd <<< ***"},
		{"a here string that is cut", "sh -c passwd <<<", "sh -c passwd <<<"},
		{"a file of what echo writes", "x <(echo -n S1) y", "x <(echo -n ***) y"},
		{"one that is cut", "x <(echo -n", "x <(echo -n"},
		{"a lone dash is no flag", "curl -o - redis-cli -a S1", "curl -o - redis-cli -a ***"},
		{"a program ends with its command", "redis-cli ping; x -a y", "redis-cli ping; x -a y"},
		{"a lone dash is no verb", "htpasswd - x y", "htpasswd - x y"},
		{"curl, flags in one word", "curl -sSLkfu bob:S1 url", "curl -sSLkfu bob:*** url"},
		{"a word, not flags", "curl -sSLkfiu bob:c url", "curl -sSLkfiu bob:c url"},
		{"flags without a user", "curl -sSf bob:c url", "curl -sSf bob:c url"},
		{"what follows a mark", "qemu-img create --object tls,id=s,data=S1 x", "qemu-img create --object tls,id=s,data=*** x"},
		{"what follows a mark at once", "qemu-img create --object data=S1 x", "qemu-img create --object data=*** x"},
		{"a password without a user", "curl -u :S1 url", "curl -u :*** url"},
		{"a token in the user's place", "curl -u T0KEN: url", "curl -u ***: url"},
		{"a name without a password", "curl -u bob: url", "curl -u bob: url"},
		{"a user and a group", "curl -u 1000:1000 url", "curl -u 1000:1000 url"},
		{"a number for a password", "sqlplus scott/1234", "sqlplus scott/***"},
		{"the word behind a share", "smbclient //h/s S1 more", "smbclient //h/s *** more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := New().Cmdline(tt.in); got != tt.want {
				t.Errorf("%q\n got %q\nwant %q", tt.in, got, tt.want)
			}
		})
	}
}

// TestValues: where a value ends.
func TestValues(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"in brackets", "x password=('a', 'S1') y", "x password=*** y"},
		{"a call", "x auth=HTTPBasicAuth('bob', 'S1') y", "x auth=*** y"},
		{"a function's", "x password('S1') y", "x password(***) y"},
		{"a place in a call", "x login('bob', 'S1') y", "x login('bob', '***') y"},
		{"a place behind another call", "x login(f(a, b), 'S1') y", "x login(f(a, b), '***') y"},
		{"a definition", "x define('DB_PASSWORD', 'S1') y", "x define('DB_PASSWORD', '***') y"},
		{"a definition that is cut", "x define('DB_PASSWORD',", "x define('DB_PASSWORD',"},
		{"a call that is cut", "x login(", "x login("},
		{"a call that is cut in its first argument", "x login(bob", "x login(bob"},
		{"a call that is cut in its value", "x password('S1", "x password(***"},
		{"an element", "x <password>S1</password> y", "x <password>***</password> y"},
		{"an element that is cut", "x <password>S1", "x <password>***"},
		{"an empty element", "x <password></password>", "x <password></password>"},
		{"a list with an open quote", `"curl -H Cookie: a='S1; b`, `"curl -H Cookie: ***`},
		{"quoted, then a mark", "x token='S1',b y", "x token='***',b y"},
		{"a URL's, though it begins as a path does", "x redis:///S1@h", "x redis://***@h"},
		{"a URL that is cut behind its user", "x postgres://bob:", "x postgres://bob:"},
		{"quoted, then a blank", "x token='S1' y", "x token='***' y"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := New().Cmdline(tt.in); got != tt.want {
				t.Errorf("%q\n got %q\nwant %q", tt.in, got, tt.want)
			}
		})
	}
}

// TestNames: which names are those of secrets.
func TestNames(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"words that begin as a secret one", "x --secretary=bob --cookie-cutter=a secretary=bob", "x --secretary=bob --cookie-cutter=a secretary=bob"},
		{"more than one of a harmless word", "x --stop-tokens a --api-tokens S1", "x --stop-tokens a --api-tokens ***"},
		{"capitals begin a word behind small letters", "x githubPAT=S1 comPAT=S2 COMPAT=a", "x githubPAT=*** comPAT=*** COMPAT=a"},
		{"capitals end one", "x tokenXY=S1 tokenizer=a", "x tokenXY=*** tokenizer=a"},
		{"a lone dollar is no variable", "x --password $", "x --password ***"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := New().Cmdline(tt.in); got != tt.want {
				t.Errorf("%q\n got %q\nwant %q", tt.in, got, tt.want)
			}
		})
	}
}

// TestRandom: the value of a name that may be another thing is hidden where a machine may
// have made it.
func TestRandom(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		hidden      bool
	}{
		{"letters and two digits", "abcdefghijklmn12", true},
		{"shorter", "abcdefghijklm12", false},
		{"one digit", "abcdefghijklmno1", false},
		{"digits", "1234567890123456", false},
		{"base64", "abcdefghijkl+/12", true},
		{"a mark in four", "ab-cd-ef-gh-ij12", true},
		{"more marks", "ab-cd-ef-gh-i-12", false},
		{"a path", "/abcdefghijklm12", false},
		{"a sentence's", "abcdefghijklm,12", false},
		{"a UUID", "123e4567-e89b-12d3-a456-426614174000", false},
		{"as long as a UUID", "123e4567ae89b-12d3-a456-426614174000", true},
		{"a UUID's first part is longer", "123e45678-e89b12d3-a456-426614174000", true},
		{"a UUID's letters are not hexadecimal", "123e4567-e89b-12d3-a456-42661417400z", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := "x --signature=" + tt.value
			want := in
			if tt.hidden {
				want = "x --signature=***"
			}
			if got := New().Cmdline(in); got != want {
				t.Errorf("%q\n got %q\nwant %q", in, got, want)
			}
		})
	}
}

// TestEscaped: percent-encoding keeps no secret from being seen.
func TestEscaped(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"no user", "x redis%3A%2F%2F%3AS1%40h", "x redis%3A%2F%2F%3A***%40h"},
		{"quotes in quotes", "x ?q=%7B%5C%22password%5C%22%3A%5C%22S1%5C%22%7D", "x ?q=%7B%5C%22password%5C%22%3A%5C%22***%5C%22%7D"},
		{"twice", "x ?to=https%253A%252F%252Fbob%253AS1%2540h%252Fx", "x ?to=https%253A%252F%252Fbob%253A***%2540h%252Fx"},
		{"four times", "x ?a%2525253Db%25252526token%2525253DS1", "x ?a%2525253Db%25252526token%2525253D***"},
		{"twice, with a quote in it", "x %7B%22token%22%3A%22S1%2522%252CS1%22%7D", "x %7B%22token%22%3A%22***%22%7D"},
		{"a token as user", "x ?to=https%3A%2F%2FS1T0KEN%40host%2Fx", "x ?to=https%3A%2F%2F***%40host%2Fx"},
		{"the @ alone", "x https://user:S1%40host/x -v", "x https://user:***%40host/x -v"},
		{"a token and the @ alone", "x https://S1T0KEN%40host/x", "x https://***%40host/x"},
		{"cut in its password", "x ?to=https%3A%2F%2Fbob%3AS1", "x ?to=https%3A%2F%2Fbob%3A***"},
		{"the slashes alone", "x https:%2F%2Fuser:S1@host", "x https:%2F%2Fuser:***@host"},
		{"a colon alone", "x https%3A//user:S1@host", "x https%3A//user:***@host"},
		{"an element", "x %3Cpassword%3ES1%3C/password%3E", "x %3Cpassword%3E***%3C/password%3E"},
		{"a form's field", "curl -d user%5Bpassword%5D=S1&a=1", "curl -d user%5Bpassword%5D=***"},
		{"a form's field in quotes", "curl -d user%5B%27password%27%5D%3DS1", "curl -d user%5B%27password%27%5D%3D***"},
		{"letters", "x ?%70assword=S1", "x ?%70assword=***"},
		{"a value of words", "x ?q=password%3DS1%20S1+S1", "x ?q=password%3D***"},
		{"a header", "x ?h=Authorization%3A%20Bearer%20S1", "x ?h=Authorization%3A***"},
		{"a scheme", "x ?h=Bearer%20S1", "x ?h=Bearer%20***"},
		{"a key of a kind", "x ?a%3Dghp%5F0123456789abcdefABCDEF0123456789abcd", "x ?a%3D***"},
		{"a private key", "x -----BEGIN%20PRIVATE%20KEY-----%0AS1%0A-----END%20PRIVATE%20KEY-----%0A&a", "x ***%0A&a"},
		{"an end of the string", "x ?q=a%00b%26token%3DS1", "x ?q=a%00b%26token%3D***"},
		{"two words", "x redis%3A%2F%2F%3AS1%40h -v redis%3A%2F%2F%3AS1%40h", "x redis%3A%2F%2F%3A***%40h -v redis%3A%2F%2F%3A***%40h"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := New()
			if got := r.Cmdline(tt.in); got != tt.want {
				t.Errorf("%q\n got %q\nwant %q", tt.in, got, tt.want)
			}
			if got := r.Args(strings.ReplaceAll(tt.in, " ", "\x00"), tt.in); strings.Contains(got, "S1") {
				t.Errorf("arguments: %q", got)
			}
			if again := r.Cmdline(tt.want); again != tt.want {
				t.Errorf("%q becomes %q", tt.want, again)
			}
		})
	}
	for _, in := range []string{
		"date +%Y-%m-%d", "printf %20s%40s%3d token", "curl -w %{http_code} https://h/?mail=bob%40example.org&a=%2Fx", "npm i https://registry.npmjs.org/%40scope%2Fname",
		"npm i https://h:4873/%40scope%2fname", "x file:///home/a%40b/c", "x http://[::1]:80/a%40b", "x https://git%40github.com/a", "x ?q=a%20token%20of%20love",
		"x https://h/?to=https%3A%2F%2Fh2%3A8080%2Fx%3Fpass%3Dtrue%26token%3D%26max_tokens%3D5", "x %7B%22user%22%3A%22b%22%2C%22port%22%3A1%7D", "x %ZZ % %4 100%", "x ?q=%2A%2A%2A",
		"x ?q=--auth%3Dfalse%20--b", "x --master k8s%3A%2F%2Fhttps%3A%2F%2Fk", "x --master k8s://https://k", "x https%3A%2F%2Fh%3Atag -v",
		"psql postgres://h:5432/db?options=-c%20search_path%3Dx", "x https://bob:***@h/?to=x%40y", "x s3://bucket/key%3Dval/a%3Ab",
	} {
		if got := New().Cmdline(in); got != in {
			t.Errorf("%q\nbecomes %q", in, got)
		}
	}
}

// TestURLs: what is a secret in an address.
func TestURLs(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"cut in its password", "x postgres://bob:S1x", "x postgres://bob:***"},
		{"a user with a mark", "x amqp://~a:S1@h", "x amqp://~a:***@h"},
		{"the longest name", "git clone https://aaaaaaaaaabbbbbbbbbb@h/x", "git clone https://aaaaaaaaaabbbbbbbbbb@h/x"},
		{"longer than a name", "git clone https://aaaaaaaaaabbbbbbbbbbc@h/x", "git clone https://***@h/x"},
		{"a token without TLS", "git clone http://T0KEN9@h/x", "git clone http://***@h/x"},
		{"a user of ssh", "git clone ssh://Deploy9@h/x", "git clone ssh://Deploy9@h/x"},
		{"a stream's key", "ffmpeg x rtmp://h/live/S1", "ffmpeg x rtmp://h/live/***"},
		{"a stream without a key", "ffmpeg x rtmp://h/live", "ffmpeg x rtmp://h/live"},
		{"a stream with an empty key", "ffmpeg x rtmp://h/live/", "ffmpeg x rtmp://h/live/"},
		{"a webhook of two parts", "curl https://discord.com/api/webhooks/123/S1", "curl https://discord.com/api/webhooks/***"},
		{"a bot, and what it is to do", "curl https://api.telegram.org/bot1:S1/send?x=1", "curl https://api.telegram.org/bot***/send?x=1"},
		{"no bot", "curl https://api.telegram.org/bot/send", "curl https://api.telegram.org/bot/send"},
		{"any host's hook", "curl https://h/hooks/abcdefghij0123456789", "curl https://h/hooks/***"},
		{"JSON in an address", "curl https://h/?q=%7B%22user%22%3A%22b%22%2C%22password%22%3A%22S1%22%7D&a=1", "curl https://h/?q=%7B%22user%22%3A%22b%22%2C%22password%22%3A%22***%22%7D&a=1"},
		{"a query in an address", "curl https://h/?to=x%3fa%3D1%26api_token%3dS1%26b%3D2", "curl https://h/?to=x%3fa%3D1%26api_token%3d***"},
		{"an address in one", "curl https://h/?to=https%3A%2F%2Fbob%3AS1%40h2%2Fx", "curl https://h/?to=https%3A%2F%2Fbob%3A***%40h2%2Fx"},
		{"no secrets in one", "curl https://h/?to=https%3A%2F%2Fh2%3A8080%2Fx%3Fpass%3Dtrue%26token%3D%26max_tokens%3D5", "curl https://h/?to=https%3A%2F%2Fh2%3A8080%2Fx%3Fpass%3Dtrue%26token%3D%26max_tokens%3D5"},
		{"too short for a hook's secret", "curl https://h/hooks/abcdefghij012345678", "curl https://h/hooks/abcdefghij012345678"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := New().Cmdline(tt.in); got != tt.want {
				t.Errorf("%q\n got %q\nwant %q", tt.in, got, tt.want)
			}
		})
	}
}

// TestPorts: what is behind a host's colon is a port where it begins with digits that a mark ends.
func TestPorts(t *testing.T) {
	for _, in := range []string{
		"chrome --app=https://h/x?u=http%3A%2F%2F10.0.0.1%3A3000&theme=dark", "curl http://localhost:8080?x=1", "curl http://localhost:8080#x",
		"mongosh mongodb://h1:27017,h2:27017/?replicaSet=rs0", "etcd --listen-client-urls=http://0.0.0.0:2379,http://127.0.0.1:2379",
		"x --listeners PLAINTEXT://a:9092,SSL://b:9093", "java -Durl=jdbc:sqlserver://h:1433;databaseName=x", "ffmpeg udp://239.0.0.1:1234?pkt_size=1316",
		`python -c "import requests; requests.get('http://h:8080')"`, `sh -c "curl http://h:8080|x"`, `x {\"url\":\"http://h:8080\"}`, "x [http://h:8080]",
		"x {http://h:8080}", "x <http://h:8080>", "x `curl http://h:8080`", "x http://h:8080", "x http://h%3A8080%2Cb", "x docker://a:b",
	} {
		if got := New().Cmdline(in); got != in {
			t.Errorf("%q\nbecomes %q", in, got)
		}
		if got := New().Args(strings.ReplaceAll(in, " ", "\x00"), in); got != in {
			t.Errorf("arguments %q\nbecome %q", in, got)
		}
	}
	for _, tt := range []struct{ in, want string }{
		{"x http://user:8080,x@h", "x http://user:***@h"},
		{"x http%3A%2F%2Fuser%3A8080%2Cx%40h", "x http%3A%2F%2Fuser%3A***%40h"},
		{"x http://user:8080x", "x http://user:***"},
		{"x http://user:,x", "x http://user:***"},
	} {
		if got := New().Cmdline(tt.in); got != tt.want {
			t.Errorf("%q\n got %q\nwant %q", tt.in, got, tt.want)
		}
	}
}

// TestBeyond: what follows an unquoted value, in JSON or a query, is no part of what is looked at.
func TestBeyond(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{`x {"pin":4711}`, `x {"pin":***`},
		{`x [{"pin":4711}]`, `x [{"pin":***`},
		{"x https://h/?pin=4711&a=1", "x https://h/?pin=***"},
		{"curl -d pin=4711&a=1", "curl -d pin=***"},
		{"x https://h/?x=%7B%22pin%22%3A4711%7D", "x https://h/?x=%7B%22pin%22%3A***"},
		{"x https://h/?x=%7B%22pin%22:4711%7D", "x https://h/?x=%7B%22pin%22:***"},
		{"x https://h/?x=%7B%22key%22%3AS1abcdefghij0123456789%7D", "x https://h/?x=%7B%22key%22%3A***"},
		{`x {"key":S1abcdefghij0123456789}`, `x {"key":***`},
		{"x https://h/?pin%3D4711%7C", "x https://h/?pin%3D***"},
		{"x pin=4711;a", "x pin=***"},
		{`x {"a":{"token":true}}`, `x {"a":{"token":true}}`},
		{"x https://h/?x=%7B%22token%22%3Atrue%7D", "x https://h/?x=%7B%22token%22%3Atrue%7D"},
		{"x https://h/?x=%7B%22tokens%22%3A4096%7D", "x https://h/?x=%7B%22tokens%22%3A4096%7D"},
		{`x {"tokens":4096}`, `x {"tokens":4096}`},
		{"x https://h/?auth=ldap&a=1", "x https://h/?auth=ldap&a=1"},
		{"x --password 7}ab", "x --password ***"},
		{"x --password 7&ab", "x --password ***"},
		{`x "pin":"4711}"`, `x "pin":"4711}"`},
	} {
		if got := New().Cmdline(tt.in); got != tt.want {
			t.Errorf("%q\n got %q\nwant %q", tt.in, got, tt.want)
		}
		if got := New().Args(strings.ReplaceAll(tt.in, " ", "\x00"), tt.in); got != tt.want {
			t.Errorf("arguments %q\n got %q\nwant %q", tt.in, got, tt.want)
		}
	}
	if got := New().Args("x\x00--password=7}", "x --password=7}"); got != "x --password=***" {
		t.Errorf("%q", got)
	}
}

// TestFields: a form's fields may be lists or parts of others.
func TestFields(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"curl -d client_secret[]=S1", "curl -d client_secret[]=***"},
		{"curl -d client_secret%5B%5D=S1", "curl -d client_secret%5B%5D=***"},
		{"curl -d a[secret][]=S1", "curl -d a[secret][]=***"},
		{"curl -d a%5Bsecret%5D%5Bx%5D=S1", "curl -d a%5Bsecret%5D%5Bx%5D=***"},
		{"curl -d a[secret][x]=S1", "curl -d a[secret][x]=***"},
		{"curl -d a[0][password]=S1", "curl -d a[0][password]=***"},
		{"curl -d a[b][c]=x", "curl -d a[b][c]=x"},
		{"x []=x", "x []=x"},
		{"x [a]=x ][a]=x", "x [a]=x ][a]=x"},
		{"curl https://h/?fields[secrets]=name,created", "curl https://h/?fields[secrets]=name,created"},
		{"curl https://h/?fields%5Bauth%5D=name", "curl https://h/?fields%5Bauth%5D=name"},
		{"curl https://h/?fields%5Bsecrets%5D=name%2Ccreated", "curl https://h/?fields%5Bsecrets%5D=name%2Ccreated"},
		{"curl -d fields[password]=S1", "curl -d fields[password]=***"},
	} {
		if got := New().Cmdline(tt.in); got != tt.want {
			t.Errorf("%q\n got %q\nwant %q", tt.in, got, tt.want)
		}
		if got := New().Args(strings.ReplaceAll(tt.in, " ", "\x00"), tt.in); got != tt.want {
			t.Errorf("arguments %q\n got %q\nwant %q", tt.in, got, tt.want)
		}
	}
}

// TestEscapedUser: the colon between user and password may be escaped.
func TestEscapedUser(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"psql postgres://bob%3AS1@h/db", "psql postgres://bob%3A***@h/db"},
		{"redis-cli -u redis://%3aS1@h:6379", "redis-cli -u redis://%3a***@h:6379"},
		{"x amqp://bob%3AS1@h%2F", "x amqp://bob%3A***@h%2F"},
		{"x ?u=amqp%3A%2F%2Fbob%253AS1%40h", "x ?u=amqp%3A%2F%2Fbob%253A***%40h"},
		{"git clone https://bob%3AS1@h/x", "git clone https://***@h/x"},
		{"git clone ssh://git@h/x%3Ay", "git clone ssh://git@h/x%3Ay"},
		{"git clone ssh://bob%40corp@h/x", "git clone ssh://bob%40corp@h/x"},
	} {
		if got := New().Cmdline(tt.in); got != tt.want {
			t.Errorf("%q\n got %q\nwant %q", tt.in, got, tt.want)
		}
	}
}

// TestMailAddresses: no password is in these, nor in the name of an archive of Debian's.
func TestMailAddresses(t *testing.T) {
	for _, in := range []string{
		"x mailto:bob@example.org", "x mailto%3Abob%40example.org", "x SIP:bob@example.org", "x sips:bob@example.org", "x xmpp:bob@example.org/a", "x acct:bob@example.org",
		"curl https://h/?resource=acct%3Abob%40example.org", "dpkg -i /var/cache/apt/archives/passwd_1%3a4.13+dfsg1-1_amd64.deb", "dpkg -i passwd_1%3a4.13_amd64.deb x",
		"dpkg -i git-credential-oauth_1%3a2.0_amd64.deb libtoken_12%3a2.0_amd64.deb",
	} {
		if got := New().Cmdline(in); got != in {
			t.Errorf("%q\nbecomes %q", in, got)
		}
	}
	if got := New().Cmdline("x passwd%3a4.deb passwd_1%3aS1.deb"); got != "x passwd%3a*** passwd_1%3a***" {
		t.Errorf("%q", got)
	}
	if got := New().Cmdline("x sip:bob:S1@example.org"); got != "x sip:bob:***@example.org" {
		t.Errorf("%q", got)
	}
}

// TestForms: a form has '+' for a blank.
func TestForms(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"curl https://h/?q=Bearer+S1abc", "curl https://h/?q=Bearer+***"},
		{"curl https://h/?redirect=%2Fx%3Fh%3DBearer+S1", "curl https://h/?redirect=%2Fx%3Fh%3DBearer+***"},
		{"curl https://h/?redirect=%2Fx%3Fh%3DBearer%2BS1", "curl https://h/?redirect=%2Fx%3Fh%3DBearer%2B***"},
		{"curl https://h/?x=%7B%22password%22+%3A+%22S1%22%7D", "curl https://h/?x=%7B%22password%22+%3A+%22***%22%7D"},
		{"x %22password%22+%3A+%22S1%22", "x %22password%22+%3A+%22***%22"},
		{"x https://h/?x=%7B%22pin%22%3A+4711%7D", "x https://h/?x=%7B%22pin%22%3A+***"},
	} {
		r := New()
		if got := r.Cmdline(tt.in); got != tt.want {
			t.Errorf("%q\n got %q\nwant %q", tt.in, got, tt.want)
		}
		if got := r.Args(strings.ReplaceAll(tt.in, " ", "\x00"), tt.in); got != tt.want {
			t.Errorf("arguments %q\n got %q\nwant %q", tt.in, got, tt.want)
		}
	}
	for _, in := range []string{
		"chrome https://h/?q=what+is+a+bearer+token", "chrome https://h/?q=reset+mysql+root+password+ubuntu22", "chrome https://h/?q=sshpass+-p+x1&a=%20",
		"chrome https://h/?q=set+password+x1%3F", "pip install git+https://h/a/b.git@v1%2E0", "pip install https://h/torch-2.0.0%2Bcu118-cp310+x.whl", "date +%Y-%m-%d+%H:%M",
		"x Bearer+S1", "g++ -DX=a?b+c", "curl https://h/?q=is%3Aopen+label%3Aauth+author%3Abob", "curl https://h/?q=curl+-u+bob:x1+vault+login+x1",
		"curl https://h/?q=filename%3A.env+password", "wget https://h/x?d=attachment%3B+filename%3Da.zip&t=application%2Fzip",
	} {
		if got := New().Cmdline(in); got != in {
			t.Errorf("%q\nbecomes %q", in, got)
		}
	}
}
