package trueup

import (
	"fmt"
	"time"

	"trueup.dev/trueup/contract"
)

// Log writes lines to the engine's log. Known secret values are masked, but do not rely on it.
var Log logger

type logger struct{}

// Debug writes what only an author wants to know. The fields are names and values in turn.
func (logger) Debug(message string, fields ...any) { write(contract.LevelDebug, message, fields) }

// Info writes what an operator may want to know.
func (logger) Info(message string, fields ...any) { write(contract.LevelInfo, message, fields) }

// Warn writes what an operator should look at.
func (logger) Warn(message string, fields ...any) { write(contract.LevelWarn, message, fields) }

func write(level contract.Level, message string, fields []any) {
	var pairs []contract.Pair
	for i := 0; i+1 < len(fields); i += 2 {
		pairs = append(pairs, contract.Pair{Name: fmt.Sprint(fields[i]), Value: fmt.Sprint(fields[i+1])})
	}
	contract.LogWrite(level, message, pairs)
}

// Cache is a bounded store that may lose anything at any time. The instances of one configured provider share it.
var Cache cache

type cache struct{}

// Get is what was put under the key, if it is still there.
func (cache) Get(key string) ([]byte, bool) {
	if found := contract.CacheGet(key); found != nil {
		return *found, true
	}
	return nil, false
}

// Put keeps a value for at most that long.
func (cache) Put(key string, value []byte, keep time.Duration) {
	contract.CachePut(key, value, uint64(max(keep.Milliseconds(), 0)))
}

// Sign signs data with a key that stays with the engine: `hmac-sha256`, `hmac-sha512`, `ed25519`, `rs256` or `es256`. Within
// changes only.
func Sign(credential, algorithm string, data []byte) ([]byte, error) {
	answer := contract.SigningSign(credential, algorithm, data)
	if answer.Case == 0 {
		return answer.Ok, nil
	}
	switch answer.Err.Case {
	case contract.SigningDenied:
		return nil, Errorf(Denied, "signing.denied", "the credential `%s` was refused to the provider", credential)
	case contract.SigningUnknown:
		return nil, Errorf(Unsupported, "signing.algorithm", "the engine does not sign with `%s`", algorithm)
	}
	return nil, Errorf(Transient, "signing.unavailable", "nothing was signed: %s", answer.Err.Unavailable)
}
