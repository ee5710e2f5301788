package render

import "testing"

func TestASCIILocale(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  map[string]string
		want bool
	}{
		{"none", nil, false},
		{"LANG", map[string]string{"LANG": "de_DE.UTF-8"}, false},
		{"utf8", map[string]string{"LANG": "C.utf8"}, false},
		{"C", map[string]string{"LANG": "C"}, true},
		{"Latin", map[string]string{"LANG": "de_DE.ISO-8859-1"}, true},
		{"LC_ALL over LANG", map[string]string{"LC_ALL": "C", "LANG": "de_DE.UTF-8"}, true},
		{"LC_CTYPE over LANG", map[string]string{"LC_CTYPE": "en_US.UTF-8", "LANG": "C"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := ASCIILocale(func(k string) string { return tt.env[k] }); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
