package harness

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// Watch waits for what an agent renders, without polling.
type Watch struct {
	w   *fsnotify.Watcher
	dir string
}

// NewWatch watches the directory of the rendered files.
func NewWatch(dir string) (*Watch, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := w.Add(dir); err != nil {
		w.Close()
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	return &Watch{w, dir}, nil
}

// Close ends the watch.
func (w *Watch) Close() error { return w.w.Close() }

// Until returns when done says that the file's content is what was waited for.
func (w *Watch) Until(ctx context.Context, file string, done func(content []byte) bool) error {
	for {
		content, err := os.ReadFile(filepath.Join(w.dir, file))
		if err == nil && done(content) {
			return nil
		}
		select {
		case <-w.w.Events:
		case err := <-w.w.Errors:
			return fmt.Errorf("watch %s: %w", w.dir, err)
		case <-ctx.Done():
			return fmt.Errorf("wait for a change of %s: %w; it holds:\n%s", file, context.Cause(ctx), content)
		}
	}
}

// Has is for Until: the content has the text.
func Has(text string) func([]byte) bool {
	return func(content []byte) bool { return bytes.Contains(content, []byte(text)) }
}
