"""Jobs without their start-up: processes that fork from one which has torch loaded already.

The workflow starts a server for as long as it runs jobs on its own machine. In the shells of
these jobs `ebm-bench` is a client, which needs little of Python: it hands its descriptors,
folder, environment and arguments to the server, a fork of which becomes the job, and it ends as
the job ends. Where no server answers, the client turns into `ebm-bench` itself.
"""
