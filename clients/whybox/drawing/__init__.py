"""Drawing of single maps and views: plain values in, pictures out."""
