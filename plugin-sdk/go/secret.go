package trueup

import (
	"encoding/json"
	"fmt"

	"trueup.dev/trueup/contract"
)

// Secret is a secret, as its handle. It opens within Create, Update, Delete and batches only, and shows nothing of itself
// anywhere. Fields of it are pointers where they may be left out; what is read back has none.
type Secret struct{ handle string }

// Schema of a field of this type.
func (Secret) Schema() map[string]any {
	return schema{"type": "string", "x-trueup-sensitive": true, "x-trueup-write-only": true}
}

// UnmarshalJSON reads the engine's marker. What else stands there (a service that shows stars) is no secret, and is dropped.
func (s *Secret) UnmarshalJSON(text []byte) error {
	var marker struct {
		Handle string `json:"$secret"`
	}
	if text[0] == '{' {
		// A marker of another shape has no handle, which Reveal tells of.
		_ = json.Unmarshal(text, &marker)
	}
	s.handle = marker.Handle
	return nil
}

// MarshalJSON writes the engine's marker.
func (s Secret) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"$secret": s.handle})
}

// Format shows nothing.
func (s Secret) Format(state fmt.State, _ rune) { _, _ = state.Write([]byte("(secret)")) }

// Handle is the text behind `$secret`, for calls that take a handle.
func (s *Secret) Handle() string { return s.handle }

// Reveal is the value.
func (s *Secret) Reveal() (string, error) {
	if s.handle == "" {
		return "", Errorf(Invalid, "secret.shape", "a secret is written as `${{ secret('name') }}`")
	}
	answer := contract.SecretsReveal(s.handle)
	if answer.Case == 0 {
		return answer.Ok, nil
	}
	switch answer.Err.Case {
	case contract.SecretDenied:
		return "", Errorf(Denied, "secret.denied", "a secret was refused to the provider")
	case contract.SecretMissing:
		return "", Errorf(Unauthorized, "secret.missing", "a secret has no value")
	}
	return "", Errorf(Transient, "secret.unavailable", "a secret cannot be read: %s", answer.Err.Unavailable)
}

// RevealOr is the value, or another where there is no secret.
func (s *Secret) RevealOr(other string) (string, error) {
	if s == nil {
		return other, nil
	}
	return s.Reveal()
}

// Blob is a file of the revision.
type Blob struct {
	// SHA256 has 64 lower-case hex digits.
	SHA256 string `json:"$blob"`
	// Size in bytes.
	Size uint64 `json:"size"`
}

// Schema of a field of this type.
func (Blob) Schema() map[string]any { return schema{"type": "string", "x-trueup-blob": true} }

// MarshalJSON writes the engine's marker.
func (b Blob) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{"$blob": b.SHA256, "size": b.Size})
}

// Read is the whole file, if it has at most limit bytes. Within changes only.
func (b *Blob) Read(limit uint64) ([]byte, error) {
	if b.Size > limit {
		return nil, Errorf(Invalid, "blob.size", "the file has %d bytes; at most %d are taken", b.Size, limit)
	}
	bytes := make([]byte, 0, b.Size)
	for uint64(len(bytes)) < b.Size {
		more := contract.BlobsRead(b.SHA256, uint64(len(bytes)), b.Size-uint64(len(bytes)))
		if more == nil || len(*more) == 0 {
			return nil, internal("a file that the document names is not in the revision")
		}
		bytes = append(bytes, *more...)
	}
	return bytes, nil
}
