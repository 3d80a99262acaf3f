package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

const schemaPrefix = "mslab.result/v"

// MaxBytes is the largest record that is read. A second of the series takes
// about 115 bytes, so that three days of load fit; whatever is larger is no
// record, and reading it would only fill the memory.
const MaxBytes = 32 << 20

// Open reads the record in the file at path, as ReadFile and Read do. The error
// names the file.
func Open(path string) (*Record, error) {
	data, err := ReadFile(path, MaxBytes)
	if err != nil {
		return nil, err
	}
	r, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("read record %s: %w", path, err)
	}
	return r, nil
}

// Read decodes one record and refuses what this version would not understand
// in full: unknown keys, other schemas, newer versions, torn files, anything
// after the record, more than MaxBytes, and what no generator writes: negative
// counts, a class without its histogram, a histogram that is not the one that
// the record describes. Identities of the accounting are left to Check.
func Read(r io.Reader) (*Record, error) {
	data, err := readAll(r, MaxBytes)
	if err == nil {
		var rec *Record
		if rec, err = decode(data); err == nil {
			return rec, nil
		}
	}
	return nil, fmt.Errorf("read record: %w", err)
}

func decode(data []byte) (*Record, error) {
	if err := checkSchema(data); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	var rec Record
	if err := dec.Decode(&rec); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more data follows the record; one file holds one record")
	}
	if err := rec.checkShape(); err != nil {
		return nil, err
	}
	return &rec, nil
}

// checkSchema looks at the schema alone, so that a foreign or newer file is
// named as such and not by the first key that happens to be unknown.
func checkSchema(data []byte) error {
	var head struct {
		Schema *string `json:"schema"`
	}
	err := json.NewDecoder(bytes.NewReader(data)).Decode(&head)
	var syntax *json.SyntaxError
	switch {
	case errors.Is(err, io.EOF):
		return errors.New("the file is empty; what wrote it was stopped, so measure again")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the file is truncated: it ends inside the record; copy it again whole, or measure again")
	case errors.As(err, &syntax):
		return fmt.Errorf("not JSON at byte %d: %w", syntax.Offset, err)
	case err != nil, head.Schema == nil:
		return errors.New("not an mslab record: it has no schema; name a file that mslab load -o wrote")
	}
	version, ours := strings.CutPrefix(*head.Schema, schemaPrefix)
	if !ours {
		return fmt.Errorf("not an mslab record: its schema is %q, want %q", *head.Schema, Schema)
	}
	n, err := strconv.Atoi(version)
	known, _ := strconv.Atoi(strings.TrimPrefix(Schema, schemaPrefix))
	switch {
	case err != nil || n < 1:
		return fmt.Errorf("unknown schema %q, want %q", *head.Schema, Schema)
	case n > known:
		return fmt.Errorf("schema %q is newer than this version reads (%q); use a newer mslab", *head.Schema, Schema)
	}
	return nil
}

// Write stores the record at path: whole or, on an error, not at all.
func (r *Record) Write(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write record %s: %w", path, err)
	}
	return WriteFile(path, append(data, '\n'))
}

// WriteFile stores data at path, whole or, on an error, not at all, and on disk
// when it returns.
func WriteFile(path string, data []byte) error {
	f, err := CreateWhole(path)
	if err != nil {
		return err
	}
	defer f.Abort()
	if _, err := f.Write(data); err != nil {
		return fmt.Errorf("write %s: %w", path, cause(err))
	}
	return f.Commit()
}

// cause leaves out the operation and the temporary name, of which the user knows
// nothing.
func cause(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}
