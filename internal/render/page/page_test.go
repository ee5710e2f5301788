package page

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

func render(t testing.TB, records ...*oom.Record) []byte {
	t.Helper()
	var b bytes.Buffer
	p := New(&b, Options{Location: time.UTC, Advice: func(code string) (string, string) { return "`cat C/" + code + "`", "raise it" }})
	for _, r := range records {
		if err := p.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestTmp(t *testing.T) {
	dir := "/tmp/wt-page-out"
	os.MkdirAll(dir, 0o755)
	for name, recs := range map[string][]*oom.Record{"one": {cgroupKill()}, "system": {systemKill()}, "sigkill": {sigkill()}, "hostile": {hostile()}, "many": many(60), "m500": many(500), "none": nil} {
		b := render(t, recs...)
		t.Log(name, len(b))
		os.WriteFile(filepath.Join(dir, name+".html"), b, 0o644)
	}
}
