"""The findings of an audit as one page of HTML that needs nothing but itself."""
