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
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := New().Cmdline(tt.in); got != tt.want {
				t.Errorf("%q\n got %q\nwant %q", tt.in, got, tt.want)
			}
		})
	}
}
