"""Published votes as studies: the same statistics as for a study of one's own."""
