/** The numbers of Parquet's format that this encoder writes (parquet-format 2.10, `parquet.thrift`). */

export const TYPE_BOOLEAN = 0;
export const TYPE_INT32 = 1;
export const TYPE_INT64 = 2;
export const TYPE_DOUBLE = 5;
export const TYPE_BYTE_ARRAY = 6;

export const ENCODING_PLAIN = 0;
export const ENCODING_DELTA_BINARY_PACKED = 5;
export const ENCODING_DELTA_LENGTH_BYTE_ARRAY = 6;
export const ENCODING_RLE_DICTIONARY = 8;

export const PAGE_DICTIONARY = 2;
export const PAGE_DATA_V2 = 3;

export const CODEC_ZSTD = 6;

export const REPETITION_REQUIRED = 0;
export const CONVERTED_UTF8 = 0;
export const CONVERTED_UINT_32 = 13;
