package caps // want "no _linux in file names"
