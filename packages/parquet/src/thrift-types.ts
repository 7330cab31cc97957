/** What stands before a field or an element in Thrift's compact protocol, of the types that Parquet uses. */

export const TYPE_TRUE = 1;
export const TYPE_FALSE = 2;
export const TYPE_I8 = 3;
export const TYPE_I32 = 5;
export const TYPE_I64 = 6;
export const TYPE_BINARY = 8;
export const TYPE_LIST = 9;
export const TYPE_STRUCT = 12;
