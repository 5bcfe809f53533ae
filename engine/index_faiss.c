#include "engine/index.h"
#include "base/error.h"
static cairn_status no(const char*s, uint32_t d, enum crn_op op, cairn_error*e){(void)s;(void)d;(void)op;return crn_error_set(e,CAIRN_UNSUPPORTED,"stub");}
static cairn_status b(const char *s,const struct crn_index_rows*r,unsigned t,bool(*c)(void*),void*x,struct crn_derived_writer*w,cairn_error*e){(void)s;(void)r;(void)t;(void)c;(void)x;(void)w;return crn_error_set(e,CAIRN_UNSUPPORTED,"stub");}
const struct crn_index_ops crn_index_faiss={.name="faiss",.check=no,.build=b};
