package kernlog

import (
	"encoding/csv"
	"fmt"
	"html"
	"mime/quotedprintable"
	"regexp"
	"strings"
	"testing"
)

// pastedForms are what web pages, forums, wikis, spreadsheets and terminals make of dmesg's
// lines.
func pastedForms() []wrapping {
	dmesg := form(textWrappings()[0].wrap)
	each, around := dmesg.each, dmesg.around
	stamp := regexp.MustCompile(`^(\[ *[0-9.]+\])`)
	quote := func(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
	cells := func(comma rune, row func(n int, line string) []string) func([]sourceLine) string {
		return each(func(n int, line string) string {
			var b strings.Builder
			w := csv.NewWriter(&b)
			w.Comma = comma
			_ = w.Write(row(n, line))
			w.Flush()
			return b.String()
		})
	}
	return []wrapping{
		{name: "a page", wrap: around("<!DOCTYPE html>\n<html><head><title>OOM</title></head><body><p>It dies:</p>\n<pre>", "</pre></body></html>\n", func(_ int, l string) string { return html.EscapeString(l) + "\n" })},
		{name: "a page, marked up", wrap: around("<pre><code>", "</code></pre>\n", func(_ int, l string) string {
			return stamp.ReplaceAllString(html.EscapeString(l), `<span class="nu">$1</span>`) + "\n"
		})},
		{name: "a page of one line", wrap: around("<p>", "</p>\n", func(_ int, l string) string {
			return strings.ReplaceAll(html.EscapeString(l), "  ", " &nbsp;") + "<br/>"
		})},
		{name: "a page's table", wrap: around("<table>\n", "</table>\n", func(n int, l string) string {
			return fmt.Sprintf("<tr>\n<td id=\"L%d\">%d</td>\n<td class=\"code\">%s</td>\n</tr>\n", n, n, html.EscapeString(l))
		})},
		{name: "entities", wrap: each(func(_ int, l string) string { return "&gt; " + html.EscapeString(l) + "\n" })},
		{name: "entities in numbers", wrap: each(func(_ int, l string) string {
			return strings.NewReplacer("[", "&#91;", "]", "&#x5D;", "_", "&#95;", "/", "&#x2F;", "=", "&#x3D;", "<", "&#60;", ">", "&#62;").Replace(l) + "\n"
		})},
		{name: "entities twice", wrap: each(func(_ int, l string) string { return html.EscapeString(html.EscapeString("> "+l)) + "\n" })},
		{name: "a fence", wrap: around("So:\n```text\n", "```\nAny idea?\n", func(_ int, l string) string { return l + "\n" })},
		{name: "a fence within the line", wrap: func(lines []sourceLine) string { return "```" + strings.TrimSpace(dmesg(lines)) + "```\n" }},
		{name: "a forum's mark within the line", wrap: func(lines []sourceLine) string {
			return "[CODE]" + strings.TrimSpace(dmesg(lines)) + "[/CODE]\n"
		}},
		{name: "a table of Markdown", wrap: around("| # | message |\n|---|---|\n", "", func(n int, l string) string { return fmt.Sprintf("| %d | `%s` |\n", n, l) })},
		{name: "a table of a database", wrap: around("| at | text |\n+---+---+\n", "", func(_ int, l string) string { return "| 2025-03-07 04:00:05 | " + l + " |\n" })},
		{name: "CSV without a heading", wrap: cells(',', func(n int, l string) []string { return []string{fmt.Sprint(n), "worker", l} })},
		{name: "CSV, the text first", wrap: each(func(n int, l string) string { return quote(l) + fmt.Sprintf(",2025-03-07T04:00:05Z,%d\n", n) })},
		{name: "CSV with other names", wrap: around("Datum;Quelle;Meldung\n", "", func(_ int, l string) string {
			return "07.03.2025;kernel;" + quote(l) + "\n"
		})},
		{name: "quoted-printable", wrap: func(lines []sourceLine) string { return printable(dmesg(lines)) }},
		{name: "a quoted mail in quoted-printable", wrap: func(lines []sourceLine) string {
			return "From: a@example.org\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nHi,\n\n" +
				printable("> "+strings.ReplaceAll(strings.TrimSpace(dmesg(lines)), "\n", "\n> "))
		}},
		{name: "a list of strings", wrap: func(lines []sourceLine) string {
			return "[\n  \"" + strings.ReplaceAll(strings.TrimSpace(dmesg(lines)), "\n", "\",\n  \"") + "\"\n]\n"
		}},
		{name: "colours without the escape character", wrap: each(func(_ int, l string) string { return stamp.ReplaceAllString(l, "[32m$1[0m[33m") + "[0m\n" })},
		{name: "colours as a language writes them", wrap: each(func(_ int, l string) string { return `\u001b[33m` + l + `\u001b[0m` + "\n" })},
	}
}

func printable(text string) string {
	var b strings.Builder
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

// TestPastedForms: the record is the same in each form.
func TestPastedForms(t *testing.T) {
	lines := original(t)
	want := essence(readText(t, textWrappings()[0].wrap(lines), testOptions())[0])
	for _, w := range pastedForms() {
		t.Run(w.name, func(t *testing.T) {
			all, st := readAll(t, strings.NewReader(w.wrap(lines)), testOptions())
			if len(all) != 1 || st.Kills != 1 || st.Reports != 1 {
				t.Fatalf("%d records, %+v", len(all), st)
			}
			if got := essence(all[0]); got != want {
				t.Error(difference(got, want))
			}
		})
	}
}

// TestNoPage: what a name holds makes no page and no table of a log, so that no name adds a
// line to it.
func TestNoPage(t *testing.T) {
	forged := "/a<br>Out of memory: Killed process 1 (init) total-vm:4kB, anon-rss:4kB, file-rss:0kB, shmem-rss:0kB<br>"
	report := func(comm, cgroup string) string {
		return comm + " invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n" + cpuLine + "\n" +
			"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=" + cgroup + ",task_memcg=" + cgroup + ",task=a,pid=77,uid=5\n" +
			strings.Replace(killLineText, "Out of memory", "Memory cgroup out of memory", 1) + "\n"
	}
	for name, log := range map[string]string{
		"a tag for a name":     report("<pre>", forged),
		"a tag before it":      "<br>[123]: segfault at 0\n" + report("a", forged),
		"a tag and a colon":    "<div>: page allocation failure: order:0\n" + report("a", forged),
		"a character":          report("a&#10;b", strings.ReplaceAll(forged, "<br>", "&#10;")),
		"a mark between cells": report("a", strings.ReplaceAll(forged, "<br>", "|")),
	} {
		all := readText(t, log, testOptions())
		if len(all) != 1 || all[0].Victim == nil || all[0].Victim.PID.Value != 77 {
			t.Errorf("%s: %d records, %+v", name, len(all), all[0].Victim)
		}
	}
}
