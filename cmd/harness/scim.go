package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Provider speaks SCIM to a server as an identity provider does.
type Provider struct {
	// URL is the server's, without /scim/v2.
	URL, Token string
	// Header is added to every request: what tells providers apart.
	Header http.Header
	Client *http.Client
}

// Do sends a request below /scim/v2 and returns the status and the answer's
// body as text. A body that is not a string is sent as its JSON.
func (p Provider) Do(ctx context.Context, method, path string, body any) (int, []byte, error) {
	var data []byte
	switch b := body.(type) {
	case nil:
	case string:
		data = []byte(b)
	default:
		var err error
		if data, err = json.Marshal(b); err != nil {
			return 0, nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, p.URL+"/scim/v2"+path, bytes.NewReader(data))
	if err != nil {
		return 0, nil, err
	}
	req.Header = p.Header.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header.Set("Authorization", "Bearer "+p.Token)
	if req.Header.Get("Content-Type") == "" {
		req.Header.Set("Content-Type", "application/scim+json")
	}
	client := p.Client
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	return res.StatusCode, answer, err
}

// Want is Do for a request that must be answered with the status. It returns
// the decoded answer, empty for 204.
func (p Provider) Want(ctx context.Context, status int, method, path string, body any) (map[string]any, error) {
	got, data, err := p.Do(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	if got != status {
		return nil, fmt.Errorf("%s %s answered %d, not %d: %s", method, path, got, status, data)
	}
	if len(data) == 0 {
		return nil, nil
	}
	var answer map[string]any
	return answer, json.Unmarshal(data, &answer)
}

// Create posts a resource and returns its id.
func (p Provider) Create(ctx context.Context, path string, body any) (string, error) {
	answer, err := p.Want(ctx, http.StatusCreated, http.MethodPost, path, body)
	if err != nil {
		return "", err
	}
	id, _ := answer["id"].(string)
	if id == "" {
		return "", fmt.Errorf("POST %s answered without an id", path)
	}
	return id, nil
}
