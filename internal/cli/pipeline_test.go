package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/container"
	"github.com/oomtrace/oomtrace/internal/enrich"
	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestPipelineHidesSecrets: no secret comes out in any output, whether the
// arguments are known one by one or only as a line.
func TestPipelineHidesSecrets(t *testing.T) {
	const args, line = "app\x00--password\x00x S3CRET\x00-v", "app --password S3CRET -v"
	for _, format := range []string{"json", "text", "wide"} {
		for _, tt := range []struct{ name, args, cmdline, want string }{
			{"arguments", args, strings.ReplaceAll(args, "\x00", " "), "app --password *** -v"},
			{"line", "", line, "app --password *** -v"},
		} {
			t.Run(format+"/"+tt.name, func(t *testing.T) {
				var out bytes.Buffer
				p := newPipeline(Env{}, &out, &outputFlags{output: format}, nil)
				p.owners(&ownerFlags{redact: true}, enrich.Options{Containers: &oneContainer{container.Info{}}})
				rec := rehearsal(oom.ScopeCgroup)
				rec.Victim.Args, rec.Victim.Cmdline = tt.args, tt.cmdline
				rec.Trigger.Args, rec.Trigger.Cmdline = tt.args, tt.cmdline
				if err := p.write(t.Context(), rec); err != nil {
					t.Fatal(err)
				}
				if rec.Victim.Cmdline != tt.want || rec.Trigger.Cmdline != tt.want {
					t.Errorf("victim %q, trigger %q, want %q", rec.Victim.Cmdline, rec.Trigger.Cmdline, tt.want)
				}
				if got := out.String(); strings.Contains(got, "S3CRET") || format != "text" && !strings.Contains(got, tt.want) {
					t.Errorf("%s", got)
				}
			})
		}
	}
}
