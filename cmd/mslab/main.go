// Command mslab is a performance laboratory in one binary.
package main

func main() {}
