//go:build race

package assemble

// slack is how much more the race detector leaves behind: sync.Pool forgets at
// random then (sync/pool.go).
const slack = 4
