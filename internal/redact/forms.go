package redact

import "strings"

// What stands in programs, configuration and shells rather than in flags.

// call hides what is in quotes in PASSWORD('x') and auth('bob', 'x'), with the
// bracket at i.
func (p *pass) call(i int) int {
	end := p.callEnd(i)
	key, start := p.nameBefore(i)
	if end <= i+1 || key == "" || start < p.done || !p.r.secret(key, p.s[i+1:end-1], true) {
		return i + 1
	}
	return p.hideIn(i+1, end-1)
}

// defined hides the value of define("DB_PASSWORD", "x") and of ["X-Auth-Token", "x"],
// with the comma at i.
func (p *pass) defined(i int) int {
	key, _ := p.nameBefore(i)
	from := i + 1
	for from < len(p.s) && p.s[from] == ' ' {
		from++
	}
	if from == len(p.s) || !isQuote(p.s[from]) || !isConstant(key) && !strings.HasPrefix(key, "X-") && !strings.HasPrefix(key, "x-") || !p.r.secret(key, p.s[from:p.argEnd(from)], false) {
		return i + 1
	}
	return p.words(from, false)
}

// callEnd returns the end of "('x', 'y')" at i, or 0.
func (p *pass) callEnd(i int) int {
	if i+1 >= len(p.s) || p.s[i] != '(' || !isQuote(p.s[i+1]) {
		return 0
	}
	end := p.argEnd(i)
	if n := strings.IndexByte(p.s[i:end], ')'); n >= 0 {
		return i + 1 + n
	}
	return end + 1 // it was cut
}

// element hides the text of <password>TEXT</password>, with the first tag's end at i.
func (p *pass) element(i int) int {
	key, start := p.nameBefore(i)
	from := i + 1
	if key == "" || start == 0 || p.s[start-1] != '<' {
		return from
	}
	end := strings.IndexByte(p.s[from:p.argEnd(from)], '<')
	if end < 0 && wordEnd(p.s, from) == len(p.s) && p.r.secret(key, p.s[from:], true) {
		return p.hideIn(from, len(p.s)) // it was cut
	}
	if end <= 0 || !strings.HasPrefix(p.s[from+end:], "</") || !p.r.secret(key, p.s[from:from+end], true) {
		return from
	}
	return p.hideIn(from, from+end)
}

// hereString hides what "<<<" at i gives to a program that reads a password.
func (p *pass) hereString(i int) int {
	const most = 200
	begin := max(p.done, i-most)
	command := p.s[begin:i]
	from := i + len("<<<")
	for from < len(p.s) && isBlank(p.s[from]) {
		from++
	}
	for {
		if readsPassword(command) && !isVariable(bare(p.s[from:])) {
			return p.value(from, value{})
		}
		n := strings.IndexAny(command, " \x00;&|'\"")
		if n < 0 {
			return from
		}
		command = command[n+1:]
	}
}

// substituted hides what echo at i writes into a file that a shell makes: <(echo x).
func (p *pass) substituted(i int) int {
	s := p.s[:p.argEnd(i)]
	for i < len(s) && s[i] == '-' { // echo -n
		i = p.afterBlank(wordEnd(s, i))
	}
	end := strings.IndexByte(s[min(i, len(s)):], ')')
	if end <= 0 || isVariable(bare(s[i:])) {
		return i
	}
	return p.hideIn(i, i+end)
}
