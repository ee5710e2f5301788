//go:build !race

package assemble

// slack is for the race detector.
const slack = 1
