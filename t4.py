exec(open('t3.py').read().split("for name,A,fill")[0])
A=super_resolution(2); c=A.forward(x); base=A.inverse(c); bic=F.interpolate(c,scale_factor=2,mode='bicubic')
B=inpainting(mask); cb=B.forward(x); m=B.forward(torch.ones_like(x)); bb=cb+(1-m)*(cb.sum((2,3),keepdim=True)/m.sum((2,3),keepdim=True))
for top,n in ((.06,20),(.12,20),(.12,60),(.2,60),(.29,100)):
    for s in ('ddpm','euler'):
        g=karras(n,.002,top,rho=3.)
        row=[]
        for AA,cc,st in ((A,c,base),(A,c,bic),(B,cb,bb)):
            xs=st.expand(4,-1,-1,-1)
            o=sample(Measured(D,AA,cc),x_T=xs+top*normal_like(xs,generators(0,range(4))),sampler=s,sigmas=g).x
            row.append('%.2f/%.2f'%(ps(o[:1]),ps(o.mean(0,keepdim=True))))
        print(top,n,s,*row,flush=True)
