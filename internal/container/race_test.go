//go:build race

package container

// underRace says that the race detector multiplies memory and time.
const underRace = true
