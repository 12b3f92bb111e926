package metrics

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// memoryFile lies in the state directory. Losing it sets counters back to 0,
// which Prometheus takes for a restart.
const memoryFile = "metrics.json"

// memory is what no other file of the agent holds: so that counters go on though
// each pass is a process of its own.
type memory struct {
	Passes       map[string]int64 `json:"passes"`
	Attempt      time.Time        `json:"attempt,omitzero"`
	Success      time.Time        `json:"success,omitzero"`
	Reached      bool             `json:"reached"`
	PassSeconds  float64          `json:"pass_seconds"`
	WriteSeconds float64          `json:"write_seconds"`
	Files        files            `json:"files"`
}

// files counts what the rendered files hold, while their marks are these.
type files struct {
	Counted bool    `json:"counted"`
	Marks   [3]mark `json:"marks"`
	Passwd  int     `json:"passwd"`
	Group   int     `json:"group"`
	Locked  int     `json:"locked"`
}

// mark tells a file from a later version.
type mark struct {
	Size     int64     `json:"size"`
	Modified time.Time `json:"modified"`
}

func marksOf(paths ...string) (marks [3]mark) {
	for i, path := range paths {
		if info, err := os.Stat(path); err == nil {
			marks[i] = mark{info.Size(), info.ModTime().UTC()}
		}
	}
	return marks
}

func readMemory(stateDir string) (m memory, err error) {
	m.Passes = map[string]int64{}
	data, err := os.ReadFile(filepath.Join(stateDir, memoryFile))
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	var read memory
	if err == nil {
		err = json.Unmarshal(data, &read)
	}
	if err != nil {
		return m, fmt.Errorf("read %s: %w", memoryFile, err)
	}
	if read.Passes == nil {
		read.Passes = m.Passes
	}
	return read, nil
}

func writeMemory(stateDir string, m memory) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return replace(filepath.Join(stateDir, memoryFile), append(data, '\n'), 0o600)
}
