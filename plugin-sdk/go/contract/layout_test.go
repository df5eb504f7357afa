package contract

import (
	"reflect"
	"testing"

	"trueup.dev/trueup/internal/abi"
)

func checkLayout[T any](t *testing.T, size, align uint32) {
	t.Helper()
	if gotSize, gotAlign := abi.Layout[T](); gotSize != size || gotAlign != align {
		t.Errorf("%s takes %d bytes at %d, not %d at %d", reflect.TypeFor[T](), gotSize, gotAlign, size, align)
	}
}

// The figures are those that wit-parser works out from `wit/provider.wit`.
func TestRecordsLieInMemoryAsTheContractSays(t *testing.T) {
	checkLayout[Address](t, 24, 4)
	checkLayout[CallInfo](t, 32, 8)
	checkLayout[Candidate](t, 160, 4)
	checkLayout[Change](t, 184, 4)
	checkLayout[Content](t, 80, 8)
	checkLayout[DNSQuery](t, 56, 8)
	checkLayout[Diagnostic](t, 44, 4)
	checkLayout[Discovered](t, 24, 4)
	checkLayout[Failure](t, 32, 8)
	checkLayout[Fault](t, 24, 8)
	checkLayout[FileChange](t, 104, 8)
	checkLayout[HTTPError](t, 16, 8)
	checkLayout[Health](t, 12, 4)
	checkLayout[Lookup](t, 92, 4)
	checkLayout[Observation](t, 112, 8)
	checkLayout[Outcome](t, 160, 8)
	checkLayout[Remote](t, 100, 4)
	checkLayout[Request](t, 88, 8)
	checkLayout[Response](t, 24, 4)
	checkLayout[ScopeQuery](t, 64, 8)
	checkLayout[Settlement](t, 40, 8)
	checkLayout[Snapshot](t, 60, 4)
	checkLayout[Stored](t, 28, 4)
	checkLayout[Verdict](t, 40, 8)
}

func checkThere[T any](t *testing.T, value T) {
	t.Helper()
	if got := abi.Take[T](abi.Give(value)); !reflect.DeepEqual(got, value) {
		t.Errorf("there and back:\n%+v\n%+v", value, got)
	}
}

func TestWhatGoesThroughMemoryComesBack(t *testing.T) {
	text, wait, bytes, mode := "ü\"", uint64(1)<<40, []byte{1, 2, 3}, uint32(0o644)
	remote := Remote{
		Address: Address{"Kind", "scope", "key"}, Identity: "id", Doc: `{"spec":{}}`, Outputs: "{}", Version: &text,
		Health: Health{Degraded, "why"}, Sensitive: []string{"/a", "/b"}, Ext: []Pair{{"unread", "true"}},
	}
	failure := Failure{Fault{Case: FaultThrottled, Throttled: &wait}, []Diagnostic{{SeverityError, "code", "text", &text, nil}}}
	checkThere(t, remote)
	checkThere(t, []Observation{{Case: ObservationFound, Found: remote}, {Case: ObservationAbsent}, {Case: ObservationFailed, Failed: failure}})
	checkThere(t, Outcome{Settlement: Settlement{Case: IsPending, Pending: Pending{"op", 300, "text", nil}}, Object: &remote})
	checkThere(t, Outcome{Settlement: Settlement{Case: Unsettled, Unsettled: failure}})
	checkThere(t, Change{Action: ActionDelete, Token: "t", Attempt: 2, Unsettled: true, Desired: &text, Prior: &remote, Edits: []Edit{{EditReplace, "/a", &text}}})
	checkThere(t, Request{Method: "PUT", URL: "https://a", Headers: []Pair{{"a", "b"}}, Body: &bytes, Timeout: &wait})
	checkThere(t, []Answer{{Ok: Response{200, []Pair{{"etag", "1"}}, bytes, true}}, {Case: 1, Err: HTTPError{Case: HTTPTooLarge, TooLarge: wait}}})
	checkThere(t, FileChange{"a", Operation{Case: WriteFile, Write: Write{Payload{Case: PayloadBytes, Bytes: bytes}, &mode}}, Expectation{Case: ExpectSame, Same: Entry{Name: "a", Kind: IsOther, Inode: wait}}, "t"})
	checkThere(t, []Result[[][]byte, DNSError]{{Ok: [][]byte{bytes, {9}}}, {Case: 1, Err: DNSError{Case: DNSTimedOut}}})
	checkThere(t, []Verdict{{Case: VerdictIgnore, Ignore: []string{"/a"}}, {Case: VerdictReplace, Replace: Replacement{Paths: []string{"/b"}, CreateFirst: true}}})
}
