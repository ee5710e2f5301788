// Package docs holds the documents that the program and its tests read.
package docs

import _ "embed"

//go:embed record.schema.json
var recordSchema []byte

// RecordSchema is the JSON Schema of a record.
func RecordSchema() []byte { return recordSchema }
