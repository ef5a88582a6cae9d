"""What a production installation needs beside the code: README.md is the guide, the other files are installed."""
