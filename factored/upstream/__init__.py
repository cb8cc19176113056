"""The site behind simpleproxy, asked over HTTP/1.1: a pool, its connections, their answers."""
