//go:build !wasip1

package contract

// World is what stands behind the imports outside of a component: package trueuptest sets it.
var World interface {
	LogWrite(level Level, message string, fields []Pair)
	HTTPSend(request *Request) Answer
	CacheGet(key string) *[]byte
	CachePut(key string, value []byte, ttl uint64)
	SecretsReveal(handle string) Result[string, SecretError]
	SigningSign(credential, algorithm string, data []byte) Result[[]byte, SigningError]
	DNSExchangeAll(queries []DNSQuery, parallel uint32) []Result[[][]byte, DNSError]
	BlobsRead(sha256 string, offset, length uint64) *[]byte
	FilesListAll(directories []string) []Result[Listing, FileError]
	FilesStatAll(paths []string) []Result[Entry, FileError]
	FilesReadAll(requests []ReadRequest) []Result[Content, FileError]
	FilesChangeAll(changes []FileChange) []Result[*Entry, FileError]
}

// LogWrite writes one line.
func LogWrite(level Level, message string, fields []Pair) { World.LogWrite(level, message, fields) }

// HTTPSend sends one request.
func HTTPSend(request *Request) Answer { return World.HTTPSend(request) }

// HTTPSendAll sends many, at most parallel at a time (0: as many as the grant allows), answered in their order.
func HTTPSendAll(requests []Request, _ uint32) []Answer {
	answers := make([]Answer, len(requests))
	for i := range requests {
		answers[i] = World.HTTPSend(&requests[i])
	}
	return answers
}

// CacheGet answers what was put.
func CacheGet(key string) *[]byte { return World.CacheGet(key) }

// CachePut keeps a value for at most ttl milliseconds.
func CachePut(key string, value []byte, ttl uint64) { World.CachePut(key, value, ttl) }

// SecretsReveal opens a handle.
func SecretsReveal(handle string) Result[string, SecretError] { return World.SecretsReveal(handle) }

// SigningSign signs data.
func SigningSign(credential, algorithm string, data []byte) Result[[]byte, SigningError] {
	return World.SigningSign(credential, algorithm, data)
}

// DNSExchangeAll asks DNS servers, at most parallel at a time, answered in their order.
func DNSExchangeAll(queries []DNSQuery, parallel uint32) []Result[[][]byte, DNSError] {
	return World.DNSExchangeAll(queries, parallel)
}

// BlobsRead reads a file of the revision.
func BlobsRead(sha256 string, offset, length uint64) *[]byte {
	return World.BlobsRead(sha256, offset, length)
}

// FilesListAll answers what stands in each directory.
func FilesListAll(directories []string) []Result[Listing, FileError] {
	return World.FilesListAll(directories)
}

// FilesStatAll answers what stands at each path.
func FilesStatAll(paths []string) []Result[Entry, FileError] { return World.FilesStatAll(paths) }

// FilesReadAll reads files.
func FilesReadAll(requests []ReadRequest) []Result[Content, FileError] {
	return World.FilesReadAll(requests)
}

// FilesChangeAll changes files.
func FilesChangeAll(changes []FileChange) []Result[*Entry, FileError] {
	return World.FilesChangeAll(changes)
}
