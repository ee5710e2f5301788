// Package page writes records as one self-contained HTML page: charts are SVG made
// here, nothing is fetched, and no script is needed to read it.
//
// Names in a record are chosen by those who run processes and make cgroups. They reach
// the page through html/template or [text] only, and a Content-Security-Policy with the
// hashes of the page's own style and script keeps anything else from taking effect.
package page

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/oomtrace/oomtrace/internal/oom"
)

// Options say how the page looks. The zero value works.
type Options struct {
	// Location is the time zone; nil means the local one.
	Location *time.Location
	// Advice returns how to check a reason's code and what to do about it, as text with
	// `code` in backticks; nil gives none.
	Advice func(code string) (check, do string)
}

// Page collects records and writes the page once all are there.
type Page struct {
	w       io.Writer
	opts    Options
	records []*oom.Record
	json    [][]byte
}

// New returns a Page that Close writes to w.
func New(w io.Writer, opts Options) *Page {
	opts.Location = cmp.Or(opts.Location, time.Local)
	return &Page{w: w, opts: opts}
}

// Write adds a record. It is copied: the caller may reuse it.
func (p *Page) Write(rec *oom.Record) error {
	line, err := encode(rec)
	if err != nil {
		return fmt.Errorf("encode record %s: %w", rec.ID, err)
	}
	own, err := rec.Clone()
	if err != nil {
		return err
	}
	if rec.Unknown != nil {
		if line, err = oom.AddUnknownFields(line, rec.Unknown); err != nil {
			return fmt.Errorf("encode record %s: %w", rec.ID, err)
		}
	}
	p.records, p.json = append(p.records, own), append(p.json, line)
	if old := len(p.records) - 1 - maxLogs; old >= 0 {
		p.records[old].LogText = ""
	}
	return nil
}

// encode writes a record's JSON without escapes that only a script would need.
func encode(rec *oom.Record) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(rec); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

//go:embed page.tmpl page.css page.js
var files embed.FS

// MaxBytes is what a page of up to 500 kills stays below: the newest are shown in full
// as long as they fit, the others in short.
const MaxBytes = 2 << 20

// LogBytes is how much of the kernel log a record shows. The newest maxLogs keep theirs.
const (
	LogBytes = 24 << 10
	maxLogs  = 100
)

// reserve is the part of MaxBytes that is kept for what is not a section.
const reserve = 128 << 10

// document is what the template shows.
type document struct {
	Title    string
	CSP      string
	CSS      template.CSS
	JS       template.JS
	Many     bool
	Overview *overview
	Kills    []*kill
	Notes    []string
}

// Close writes the page.
func (p *Page) Close() error {
	css, errCSS := files.ReadFile("page.css")
	js, errJS := files.ReadFile("page.js")
	tmpl, err := template.New("page.tmpl").ParseFS(files, "page.tmpl")
	if err := errors.Join(errCSS, errJS, err); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	doc := document{
		CSS: template.CSS(css), JS: template.JS(js), //nolint:gosec // both are this package's files
		CSP: "default-src 'none'; style-src '" + hash(css) + "'; script-src '" + hash(js) + "'; base-uri 'none'; form-action 'none'",
	}
	doc.Kills, doc.Notes = p.kills()
	doc.Many = len(doc.Kills) != 1
	doc.Title = title(doc.Kills)
	if doc.Many && len(doc.Kills) > 0 {
		doc.Overview = p.overview(doc.Kills)
	}
	if err := sections(tmpl, doc.Kills, doc.Many); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	var b bytes.Buffer
	if err := tmpl.Execute(&b, &doc); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	_, err = p.w.Write(b.Bytes())
	return err
}

// hash names a style or a script in the policy.
func hash(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// sections renders each kill in short, and the newest in full while there is room.
func sections(tmpl *template.Template, kills []*kill, many bool) error {
	room := MaxBytes - reserve
	var b bytes.Buffer
	render := func(k *kill, full bool) error {
		k.Full = full
		b.Reset()
		if err := tmpl.ExecuteTemplate(&b, "kill", k); err != nil || many {
			return err
		}
		// Alone, a kill's heading is the page's, and its parts are a level higher.
		out := strings.NewReplacer("<h3>", `<h2 class="part">`, "</h3>", "</h2>", "<h4>", `<h3 class="part">`, "</h4>", "</h3>").Replace(b.String())
		b.Reset()
		b.WriteString(out)
		return nil
	}
	for _, k := range kills {
		k.Many = many
		if err := render(k, false); err != nil {
			return err
		}
		k.Section = template.HTML(b.String()) //nolint:gosec // the template escaped it
		room -= b.Len() + rowBytes
	}
	for _, k := range slices.Backward(kills) {
		if err := render(k, true); err != nil {
			return err
		}
		if room -= b.Len() - len(k.Section); room < 0 && many {
			k.Full = false
			break
		}
		k.Section = template.HTML(b.String()) //nolint:gosec // as above
	}
	return nil
}

// rowBytes is about what a kill takes in the table of all.
const rowBytes = 900

func title(kills []*kill) string {
	switch len(kills) {
	case 0:
		return "No OOM kills"
	case 1:
		return kills[0].Heading
	}
	return fmt.Sprintf("%d OOM events", len(kills))
}

// kills are the sections: a record each but for the exits, which go to their kill, and
// what was lost, which is a note.
func (p *Page) kills() (kills []*kill, notes []string) {
	type victim struct {
		incident string
		pid      int32
	}
	byVictim := map[victim]*kill{}
	anchors := map[string]bool{}
	for i, rec := range p.records {
		var who victim
		if rec.Victim != nil {
			who = victim{rec.Incident, rec.Victim.PID.Or(rec.Victim.TID.Value)}
		}
		switch rec.Kind {
		case oom.KindExit:
			if k := byVictim[who]; k != nil {
				k.setExit(rec.Exit)
			}
			continue
		case oom.KindLost:
			notes = append(notes, lostNote(rec))
			continue
		}
		k := p.kill(rec, p.json[i])
		k.Anchor = anchor(rec.ID, i, anchors)
		kills = append(kills, k)
		byVictim[who] = k
	}
	return kills, notes
}

func lostNote(rec *oom.Record) string {
	n := "Some"
	if rec.Lost.Known {
		n = fmt.Sprint(rec.Lost.Value)
	}
	what := "records"
	switch rec.LostKind {
	case "":
	case oom.LostLogLines:
		what = "lines of the kernel log"
	default:
		what = "records (" + string(rec.LostKind) + ")"
	}
	return n + " " + visible(what) + " were lost."
}

// anchor makes a fragment of an id, which may come from a foreign file.
func anchor(id string, n int, used map[string]bool) string {
	clean := make([]byte, 0, 32)
	for _, c := range []byte(id) {
		if len(clean) < 32 && (c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-') {
			clean = append(clean, c)
		}
	}
	a := "r-" + string(clean)
	if len(clean) == 0 || used[a] {
		a = fmt.Sprintf("r-%s.%d", clean, n) // no id's own has a full stop
	}
	used[a] = true
	return a
}
