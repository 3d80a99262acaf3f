package scenarios

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

//go:embed *.yaml
var embedded embed.FS

// maxFile bounds a scenario file in bytes; those that come along have 1 KiB.
const maxFile = 64 << 10

func readScenario(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is longer than the %d KiB of a scenario; is it one?", name, maxFile>>10)
	}
	return data, err
}

// List returns the scenarios that the program brings along, by name.
func List() ([]*Scenario, error) {
	files, err := fs.Glob(embedded, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list scenarios: %w", err)
	}
	all := make([]*Scenario, 0, len(files))
	for _, file := range files {
		data, err := embedded.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("list scenarios: %w", err)
		}
		s, err := Decode(file, data)
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// Find returns the scenario of that name, or the one in the file of that name
// where it ends in .yaml or .yml or holds a slash. The error of an unknown name
// lists those there are.
func Find(nameOrFile string) (*Scenario, error) {
	if ext := path.Ext(nameOrFile); ext == ".yaml" || ext == ".yml" || strings.ContainsRune(nameOrFile, '/') {
		data, err := readScenario(nameOrFile)
		if err != nil {
			return nil, fmt.Errorf("read scenario: %w", err)
		}
		return Decode(nameOrFile, data)
	}
	data, err := embedded.ReadFile(nameOrFile + ".yaml")
	if err == nil {
		return Decode(nameOrFile+".yaml", data)
	}
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrInvalid) {
		return nil, fmt.Errorf("read scenario %s: %w", nameOrFile, err)
	}
	all, err := List()
	if err != nil {
		return nil, err
	}
	names := make([]string, 0, len(all))
	for _, s := range all {
		names = append(names, s.Name)
	}
	return nil, fmt.Errorf("find scenario %q: no such scenario; there are %s, and files whose names end in .yaml",
		nameOrFile, strings.Join(names, ", "))
}
