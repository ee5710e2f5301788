package kernlog

import (
	"strings"
	"testing"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// TestPrintedByMail: one mail's encoding is not that of the next one, nor of a text without signs
// of it; and whatever a mail's headers, or words that look like some, say, its signs are decoded.
func TestPrintedByMail(t *testing.T) {
	report := strings.Join([]string{
		"[  100.000001] hog invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=200",
		"[  100.000002] CPU: 0 PID: 204 Comm: hog Not tainted 6.12.0 #1",
		"[  100.000003] oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/a,task_memcg=/a=b,task=hog,pid=204,uid=0",
		"[  100.000004] Memory cgroup out of memory: Killed process 204 (hog) total-vm:684008kB, anon-rss:447880kB, file-rss:256kB, shmem-rss:0kB, UID:0 pgtables:64kB oom_score_adj:200",
	}, "\n") + "\n"
	const encoding = "Content-Transfer-Encoding: quoted-printable\n"
	text := strings.Repeat("size=3D0kB, used=3D0kB\n", 12)
	mail := func(headers, body string) string {
		return "From a@b Thu Apr  4 10:00:00 2024\n" + headers + "\n" + body + "\n"
	}
	part := func(headers, body string) string { return "--=_x\n" + headers + "\n" + body + "\n" }
	for name, log := range map[string]string{
		"mbox, plain behind it":         mail(encoding, text) + mail("", report),
		"mbox, pipermail":               mail(encoding, text) + "From c at d  Thu Apr  4 11:00:00 2024\n\n" + report,
		"mbox, plain before it":         mail("Subject: a\n", report) + mail(encoding, text),
		"mbox, encoded behind it":       mail(encoding, text) + mail("", "a") + mail(encoding, printable(report)),
		"mbox, said in small letters":   mail(strings.ToLower(encoding), text) + mail("", "a") + mail(strings.ToLower(encoding), printable(report)),
		"mbox, prose":                   mail(encoding, text+"\nFrom what I see, a=3D1\n"+printable(report)),
		"mbox, 7bit":                    mail(encoding, text) + mail("Content-Transfer-Encoding: 7bit\n", report),
		"no From lines":                 encoding + "\n" + text + "\nReturn-Path: <c@d>\nSubject: b\n\n" + report,
		"parts, the second plain":       mail("MIME-Version: 1.0\n", part(encoding, text)+part("Content-Type: text/plain\n", report)),
		"parts, the second encoded":     mail("", part("Content-Type: text/plain\n", "a")+part("Content-Type: text/plain\n"+encoding, text+printable(report))),
		"a plain text below, no header": mail(encoding, text+report),
		"no blank in a header":          mail(encoding, text) + mail("Content-Transfer-Encoding:quoted-printable\n", printable(report)),
		"two blanks in a header":        mail(encoding, text) + mail("Content-Transfer-Encoding:  quoted-printable\n", printable(report)),
		"a folded header":               mail(encoding, text) + mail("Content-Transfer-Encoding:\n quoted-printable\n", printable(report)),
		"pipermail, encoded":            mail(encoding, text) + "From c at d  Thu Apr  4 11:00:00 2024\n\n" + printable(report),
		"headers in the text":           mail(encoding, "a\n\nReceived: from here\n\nDelivered-To: me\n"+printable(report)),
		"a quoted header":               mail(encoding, "> Content-Transfer-Encoding: 7bit\n"+printable(report)),
		"a part in the text":            mail(encoding, "---- Forwarded ----\nContent-Type: text/plain\n"+printable(report)),
		"a signature":                   mail(encoding, "a\n---\nContent-Type is plain.\n"+printable(report)),
	} {
		all := readText(t, log, testOptions())
		if len(all) != 1 || all[0].Kind != oom.KindKill || all[0].Trigger == nil {
			t.Errorf("%s: %d records", name, len(all))
			continue
		}
		rec := all[0]
		if v := rec.Victim; v.PID != oom.Some(int32(204)) || v.Cgroup != "/a=b" || rec.Trigger.OOMScoreAdj != oom.Some(int32(200)) {
			t.Errorf("%s: %+v, %+v", name, v.PID, rec.Trigger.OOMScoreAdj)
		}
	}
}

// TestPrintedLong: a line that is decoded in parts is parted at no escape.
func TestPrintedLong(t *testing.T) {
	text := strings.Join(columnsReport, "\n") + "\n"
	want := essence(readText(t, text, testOptions())[0])
	escaped := strings.NewReplacer("=", "=3D", "\n", "=0A").Replace(text)
	for n := range 200 {
		all := readText(t, "Content-Transfer-Encoding: quoted-printable\n\n"+strings.Repeat("x", 2000+n)+"=0A"+escaped, testOptions())
		if len(all) != 1 || essence(all[0]) != want {
			t.Errorf("%d: %d records", n, len(all))
		}
	}
}
