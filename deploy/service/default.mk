# Defaults for the Makefile of a service.
#
# srrd wants all eleven primitives as targets. Most services have something to
# do in four: start, stop, status and check. This file has the other seven, and
# does nothing in them. Include it and write only what is different:
#
#	include /usr/share/srrd/service/default.mk
#
#	start:
#		my-daemon --bind $(SRRD_ADDRESSES) >/dev/null 2>&1 &
#	stop:
#		...
#	status check:
#		...
#
# To have something done in one of the seven, name it before the include:
#
#	SRRD_OWN = reload failed
#
# A twelfth, `fence`, is only wanted of services that say `fence: yes`, and has no
# default. It makes sure that the node SRRD_PEER, which was lost while it ran the
# service, does not run it any more: by switching that node off, or by taking the
# storage away from it. `Result: done` is a promise another node starts on. It is
# tried again after 5 s as long as it fails, and may be asked of several nodes.
#
# What a primitive says:
#
#	Result: done      it is done; also what exit status 0 means without words
#	Result: failed    it is not; also what any other status means
#	Result: recall    not finished, ask again after Recall: SECONDS
#	Recall: 2.5
#
# Everything else it prints is kept for people; of a failure the last line is
# told to the whole cluster.
#
# What a primitive is told:
#
#	SRRD_SERVICE    name of the service        SRRD_NODE       name of this node
#	SRRD_GROUP      its group, if any          SRRD_ADDRESSES  its addresses
#	SRRD_CLAIM      rises with every owner: a fencing token
#	SRRD_PEERS      the other nodes that offer the service
#	SRRD_PEER       join, leave: which one;    SRRD_FAILURE    failed: why
#	                fence: the lost node
#	SRRD_STATE_DIR  where srrd keeps its state
#
# In SRRD_FAILURE only letters, digits and " .,:/-_+=@%" are left, so that it
# can stand in a recipe.

SRRD_DEFAULTS := $(filter-out $(SRRD_OWN),activate deactivate reload restart join leave failed)

.PHONY: activate deactivate start stop reload restart join leave failed status check

# restart is how srrd tries to recover a service before it gives it up. Without
# one of its own that is stop, then start.
ifneq ($(filter restart,$(SRRD_DEFAULTS)),)
restart:
	@$(MAKE) -s stop && $(MAKE) -s start
endif

$(filter-out restart,$(SRRD_DEFAULTS)):
	@:
