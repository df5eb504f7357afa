//go:build wasip1

package contract

import "trueup.dev/trueup/internal/abi"

// ask runs an import that answers in memory: with the collector off from the first address that is made for it to the
// last that is read.
func ask[T any](call func(room uint32)) T {
	abi.Leave()
	room := abi.Room[T]()
	call(room)
	answer := abi.Take[T](room)
	abi.Enter()
	return answer
}

//go:wasmimport trueup:provider/log@0.1.0 write
func logWrite(level, message, messageLen, fields, fieldsLen uint32)

// LogWrite writes one line.
func LogWrite(level Level, message string, fields []Pair) {
	abi.Leave()
	text, textLen := abi.GiveText(message)
	pairs, pairsLen := abi.GiveList(fields)
	logWrite(uint32(level), text, textLen, pairs, pairsLen)
	abi.Enter()
}

//go:wasmimport trueup:provider/http@0.1.0 send
func httpSend(request, room uint32)

// HTTPSend sends one request.
func HTTPSend(request *Request) Answer {
	return ask[Answer](func(room uint32) { httpSend(abi.Give(*request), room) })
}

//go:wasmimport trueup:provider/http@0.1.0 send-all
func httpSendAll(requests, requestsLen, parallel, room uint32)

// HTTPSendAll sends many.
func HTTPSendAll(requests []Request, parallel uint32) []Answer {
	return ask[[]Answer](func(room uint32) {
		list, listLen := abi.GiveList(requests)
		httpSendAll(list, listLen, parallel, room)
	})
}

//go:wasmimport trueup:provider/cache@0.1.0 get
func cacheGet(key, keyLen, room uint32)

// CacheGet answers what was put.
func CacheGet(key string) *[]byte {
	return ask[*[]byte](func(room uint32) {
		text, textLen := abi.GiveText(key)
		cacheGet(text, textLen, room)
	})
}

//go:wasmimport trueup:provider/cache@0.1.0 put
func cachePut(key, keyLen, value, valueLen uint32, ttl uint64)

// CachePut keeps a value for at most ttl milliseconds.
func CachePut(key string, value []byte, ttl uint64) {
	abi.Leave()
	text, textLen := abi.GiveText(key)
	bytes, bytesLen := abi.GiveList(value)
	cachePut(text, textLen, bytes, bytesLen, ttl)
	abi.Enter()
}

//go:wasmimport trueup:provider/secrets@0.1.0 reveal
func secretsReveal(handle, handleLen, room uint32)

// SecretsReveal opens a handle.
func SecretsReveal(handle string) Result[string, SecretError] {
	return ask[Result[string, SecretError]](func(room uint32) {
		text, textLen := abi.GiveText(handle)
		secretsReveal(text, textLen, room)
	})
}

//go:wasmimport trueup:provider/signing@0.1.0 sign
func signingSign(credential, credentialLen, algorithm, algorithmLen, data, dataLen, room uint32)

// SigningSign signs data.
func SigningSign(credential, algorithm string, data []byte) Result[[]byte, SigningError] {
	return ask[Result[[]byte, SigningError]](func(room uint32) {
		slot, slotLen := abi.GiveText(credential)
		name, nameLen := abi.GiveText(algorithm)
		bytes, bytesLen := abi.GiveList(data)
		signingSign(slot, slotLen, name, nameLen, bytes, bytesLen, room)
	})
}

//go:wasmimport trueup:provider/dns@0.1.0 exchange-all
func dnsExchangeAll(queries, queriesLen, parallel, room uint32)

// DNSExchangeAll asks DNS servers.
func DNSExchangeAll(queries []DNSQuery, parallel uint32) []Result[[][]byte, DNSError] {
	return ask[[]Result[[][]byte, DNSError]](func(room uint32) {
		list, listLen := abi.GiveList(queries)
		dnsExchangeAll(list, listLen, parallel, room)
	})
}

//go:wasmimport trueup:provider/blobs@0.1.0 read
func blobsRead(sha256, sha256Len uint32, offset, length uint64, room uint32)

// BlobsRead reads a file of the revision.
func BlobsRead(sha256 string, offset, length uint64) *[]byte {
	return ask[*[]byte](func(room uint32) {
		text, textLen := abi.GiveText(sha256)
		blobsRead(text, textLen, offset, length, room)
	})
}

//go:wasmimport trueup:provider/files@0.1.0 list-all
func filesListAll(directories, directoriesLen, room uint32)

// FilesListAll answers what stands in each directory.
func FilesListAll(directories []string) []Result[Listing, FileError] {
	return ask[[]Result[Listing, FileError]](func(room uint32) {
		list, listLen := abi.GiveList(directories)
		filesListAll(list, listLen, room)
	})
}

//go:wasmimport trueup:provider/files@0.1.0 stat-all
func filesStatAll(paths, pathsLen, room uint32)

// FilesStatAll answers what stands at each path.
func FilesStatAll(paths []string) []Result[Entry, FileError] {
	return ask[[]Result[Entry, FileError]](func(room uint32) {
		list, listLen := abi.GiveList(paths)
		filesStatAll(list, listLen, room)
	})
}

//go:wasmimport trueup:provider/files@0.1.0 read-all
func filesReadAll(requests, requestsLen, room uint32)

// FilesReadAll reads files.
func FilesReadAll(requests []ReadRequest) []Result[Content, FileError] {
	return ask[[]Result[Content, FileError]](func(room uint32) {
		list, listLen := abi.GiveList(requests)
		filesReadAll(list, listLen, room)
	})
}

//go:wasmimport trueup:provider/files@0.1.0 change-all
func filesChangeAll(changes, changesLen, room uint32)

// FilesChangeAll changes files.
func FilesChangeAll(changes []FileChange) []Result[*Entry, FileError] {
	return ask[[]Result[*Entry, FileError]](func(room uint32) {
		list, listLen := abi.GiveList(changes)
		filesChangeAll(list, listLen, room)
	})
}
