package configs

// File is a document before it is read.
type File struct {
	Name string // in messages, as the user knows it
	Text []byte
	ID   string // "{provider}/{domain}/{pipeline}" or "{provider}/{pipeline}"; "" for a loose file
	Org  string // whose own document it is; "" for one that every org shares
}
