"""Pages in a browser on this machine: one small server, and the capture page. No torch.

`guard` and `serving` are the server, whatever page it shows; `capture` is the page that takes and labels pictures.
Everything a page loads is a file in `static/`, ours and without a build step.
"""
