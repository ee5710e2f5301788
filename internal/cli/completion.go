package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/oomtrace/oomtrace/internal/cli/help"
)

// runCompletion prints the completion for a shell.
func runCompletion(_ context.Context, args []string, env Env) error {
	shells := strings.Join(help.Shells(), ", ")
	if len(args) != 1 {
		return usage("oomtrace completion takes one of "+shells, "which shell?")
	}
	p := help.Program{Name: "oomtrace", Values: map[string][]string{
		"output": {"text", "wide", "json", "html"}, "source": {"auto", "bpf", "kmsg"},
		"sigkill": {"memory", "all", "off"}, "history": {"auto", "exact", "sampled", "off"}, "attach": {"auto", "fentry", "kprobe", "tp_btf", "raw_tp", "tracepoint"},
		"since": {"today", "yesterday", "-1h", "-1d"}, "until": {"now", "today", "yesterday"},
	}}
	for _, v := range verbs() {
		p.Verbs = append(p.Verbs, help.Verb{Name: v.name, About: v.about, Flags: v.flags, Files: v.files, Words: v.words})
	}
	script, ok := p.Completion(args[0])
	if !ok {
		return usage("use one of "+shells, "unknown shell %q", args[0])
	}
	_, err := fmt.Fprint(env.Stdout, script)
	return err
}

// unknownVerb says what was probably meant.
func unknownVerb(word string) error {
	var names []string
	for _, v := range verbs() {
		if v.name != "" {
			names = append(names, v.name)
		}
	}
	hint := "the verbs are " + strings.Join(names, ", ") + "; see \"oomtrace help\""
	if near := help.Nearest(word, names); near != "" {
		hint = fmt.Sprintf("did you mean %q? See \"oomtrace help\"", near)
	}
	return usage(hint, "unexpected argument %q", word)
}
