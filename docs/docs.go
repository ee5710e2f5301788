// Package docs holds the documents that the program and its tests read.
package docs

import _ "embed"

//go:embed record.schema.json
var recordSchema []byte

//go:embed oomtrace.8
var manPage string

// ManPage is the manual page, in mdoc(7).
func ManPage() string { return manPage }

// RecordSchema is the JSON Schema of a record.
func RecordSchema() []byte { return recordSchema }
