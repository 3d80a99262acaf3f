// Package server is the system under test: a metrics-ingestion server that is
// assembled from stages. A Recipe picks one variant for each stage; a Phase is
// a recipe with a number, and phases.go is the table of contents.
//
// The way of one request is the same in every phase: accept, bytes into the
// wire session, route, client id, Limit (and Events), Parse, validate, Guard,
// Sink, answer bytes, write, keep or close. Code for a stage knows its
// neighbours only by the values it is handed.
//
// The package imports nothing else of this module but its own subpackages, so
// that what measures cannot leak into what is measured.
package server
