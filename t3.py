import torch, math, numpy as np
torch.set_num_threads(1)
from skimage import data
from unnoise import load
from unnoise.generate.inverse import *
from unnoise.generate.sample import sample
from unnoise.noise.grids import karras
from unnoise.noise.seeds import generator, generators, normal_like
D=load('photo')
x=torch.from_numpy(data.astronaut()[40:168,160:288].astype('float32')/255).permute(2,0,1)[None]
ps=lambda a: -10*math.log10((a.clamp(0,1)-x).square().mean())
mask=torch.rand(128,128,generator=generator(1))<.5
hole=torch.ones(128,128,dtype=torch.bool); hole[50:66,50:66]=False
import torch.nn.functional as F
for name,A,fill in (('inpaint 50%',inpainting(mask),None),('inpaint 10%',inpainting(torch.rand(128,128,generator=generator(2))<.1),None),('hole',inpainting(hole),None),('sr2',super_resolution(2),None),('sr4',super_resolution(4),None),('blur5',deblurring(torch.ones(5,5)/25),None)):
    c=A.forward(x); base=A.inverse(c)
    if 'inp' in name or name=='hole':
        m=A.forward(torch.ones_like(x)); base=c+(1-m)*(c.sum((2,3),keepdim=True)/m.sum((2,3),keepdim=True))
    row=[f'{ps(base):.2f}']
    if name.startswith('sr'):
        k=int(name[2:]); row.append('bicubic %.2f'%ps(F.interpolate(c,scale_factor=k,mode='bicubic')))
    for s,top in (('ddpm',.29),('euler',.29),('dpmpp_2m',.29),('ddpm',1.0)):
        g=karras(30,.005,top)
        xT=base+top*normal_like(base,generators(0,[0]))
        out=sample(Measured(D,A,c),x_T=xT,sampler=s,sigmas=g).x
        row.append(f'{s} {top} {ps(out):.2f}')
    print(name,*row,flush=True)
