// `npm start`: sets the clone up, then becomes the server, so that a signal reaches it directly.
'use strict'
const { join } = require('node:path')
const { pathToFileURL } = require('node:url')
const { root, setUp, sizeThreadPool } = require('./setup.cjs')

setUp()
sizeThreadPool()
process.setSourceMapsEnabled(true)
process.argv.splice(2, 0, 'server', '--quick-start')
void import(pathToFileURL(join(root, 'dist/src/main.js')).href)
