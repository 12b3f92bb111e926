package setup

import (
	"context"
	"io"
)

type authselected struct{}
type authselectPlan struct{}

func (c *Config) authselected(t *tree) bool { return t.exists("/etc/authselect/authselect.conf") }

func (c *Config) planAuthselect(ctx context.Context, t *tree, p *Plan, managed bool) error {
	return nil
}

func (c *Config) applyAuthselect(ctx context.Context, t *tree, p *Plan, j *journal, out io.Writer) error {
	return nil
}

func (c *Config) undoAuthselect(ctx context.Context, t *tree, j *journal, out io.Writer) error {
	return nil
}
