package main

import (
	"io"
	"os"
	"testing"
)

// The same program in every language prints the same lines.
func TestTheTourPrintsWhatItPrintsEverywhere(t *testing.T) {
	want, err := os.ReadFile("../../tour.txt")
	if err != nil {
		t.Fatal(err)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	terminal := os.Stdout
	os.Stdout = writer
	err = run()
	os.Stdout = terminal
	writer.Close()
	printed, readErr := io.ReadAll(reader)
	if err != nil || readErr != nil || string(printed) != string(want) {
		t.Errorf("%v, %v, printed:\n%s", err, readErr, printed)
	}
}
