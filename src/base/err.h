// SPDX-License-Identifier: BSD-2-Clause
// Text for the negative errno values that every inner function of Shunt returns.
#ifndef SHUNT_BASE_ERR_H
#define SHUNT_BASE_ERR_H

// The text for err (0 or a negative errno), e.g. "Connection refused". Static, never NULL.
const char *err_text(int err);

#endif
