// SPDX-License-Identifier: BSD-2-Clause
// The compiled BPF objects, as bytes of this program: steer.c says what they are. An assembler file,
// because a top-level asm in C does not survive link-time optimisation.
        .section .rodata
        .macro  image name, file
        .balign 16
        .globl  \name\()_bytes, \name\()_end
        .hidden \name\()_bytes, \name\()_end
\name\()_bytes:
        .incbin "\file"
\name\()_end:
        .endm

        image   packet_image, queue/packet.bpf.o
        image   xdp_image, queue/xdp.bpf.o

        .section .note.GNU-stack, "", %progbits
