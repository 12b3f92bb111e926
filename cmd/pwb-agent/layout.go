package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"pwb/altfiles"
)

const (
	// layoutAuto is the layout that suits the system.
	layoutAuto = "auto"
	// indexAuto has the indexes written where the module is in use.
	indexAuto = "auto"
)

// settle puts the root in front of what lies in it, and chooses the layout and
// its directory where the configuration leaves that open.
func (cfg *config) settle() error {
	if cfg.Root != "" {
		root, err := filepath.Abs(cfg.Root)
		if err != nil {
			return err
		}
		if info, err := os.Stat(root); err != nil || !info.IsDir() {
			return fmt.Errorf("root %s is not a directory: give the one that the image or the container is made of", root)
		}
		cfg.Root = root
	}
	if cfg.Layout == layoutAuto {
		layout, err := altfiles.LayoutFor(cfg.within("/etc/os-release"), cfg.within("/usr/lib/os-release"))
		if err != nil {
			return err
		}
		cfg.Layout = string(layout)
	}
	if cfg.Dir == "" {
		cfg.Dir = altfiles.Layout(cfg.Layout).DefaultDir()
	}
	for _, path := range []*string{&cfg.Dir, &cfg.StateDir, &cfg.PasswdFile, &cfg.GroupFile, &cfg.ModuleConfig} {
		*path = cfg.within(*path)
	}
	return cfg.settleIndex()
}

// settleIndex makes true or false of index.
func (cfg *config) settleIndex() error {
	write, err := strconv.ParseBool(cfg.Index)
	switch {
	case cfg.Index == indexAuto:
		_, err = os.Stat(cfg.ModuleConfig)
		write = err == nil
	case err != nil:
		return fmt.Errorf("index %q is not true, false or %s", cfg.Index, indexAuto)
	}
	cfg.Index = strconv.FormatBool(write)
	return nil
}

// index reports whether the lookup indexes are written.
func (cfg *config) index() bool { return cfg.Index == "true" }

// within is a path in the root.
func (cfg *config) within(path string) string {
	if cfg.Root == "" {
		return path
	}
	return filepath.Join(cfg.Root, path)
}
