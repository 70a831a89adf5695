"""How large an answer can be, known before any work: for each part an upper bound of what it may put into messages.

Each part has a function of a validated request, the model that is asked, and the other served models. It returns the
largest sizes, in bytes, of the pieces that the part can be sent in; see `gateway.streaming.pieces`. First comes the
part without its lists, unless the part itself is a list; then each entry of its lists.
"""
