"""One program a file: `main` uses a library thoroughly and prints lines that never vary."""
